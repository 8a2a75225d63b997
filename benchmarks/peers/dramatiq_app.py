"""Dramatiq: processes of threads, Redis. Run with a number to put in as many tasks."""

import os
import sys

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.peers.lambda_call import blocking_client, invoke

dramatiq.set_broker(RedisBroker(url=os.environ["BENCHMARK_BROKER"]))
client = blocking_client()


@dramatiq.actor(queue_name="benchmark")
def call(number: int) -> None:
    """The task."""
    invoke(client)


if __name__ == "__main__":
    for each in range(int(sys.argv[1])):
        call.send(each)
