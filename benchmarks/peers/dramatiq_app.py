"""Dramatiq: processes of threads, Redis."""

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.peers.lambda_call import blocking_client, invoke
from benchmarks.peers.work import mark

dramatiq.set_broker(RedisBroker(url=os.environ["BENCHMARK_BROKER"]))
client = blocking_client()


@dramatiq.actor(queue_name="benchmark")
def call(number: int) -> None:
    """The task."""
    invoke(client)


@dramatiq.actor(queue_name="benchmark")
def nothing(number: int) -> None:
    """The task that does nothing."""
    mark()


def put_in(count: int, task: str) -> None:
    """Puts in ``count`` tasks."""
    actor = dramatiq.get_broker().get_actor(task)
    for number in range(count):
        actor.send(number)
