"""Dramatiq: processes of threads, Redis."""

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.peers.lambda_call import blocking_client, invoke

dramatiq.set_broker(RedisBroker(url=os.environ["BENCHMARK_BROKER"]))
client = blocking_client()


@dramatiq.actor(queue_name="benchmark")
def call(number: int) -> None:
    """The task."""
    invoke(client)


def put_in(count: int) -> None:
    """Puts in ``count`` tasks."""
    for number in range(count):
        call.send(number)
