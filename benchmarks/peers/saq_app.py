"""SAQ: one asyncio process, Redis."""

import asyncio
import os
from typing import Any

from saq import Queue

from benchmarks.peers.lambda_call import CONCURRENCY, close_client, invoke_async, open_client
from benchmarks.peers.work import mark

queue = Queue.from_url(os.environ["BENCHMARK_BROKER"])


async def call(context: dict[str, Any], *, number: int) -> None:
    """The task."""
    await invoke_async(context["client"])


async def nothing(context: dict[str, Any], *, number: int) -> None:
    """The task that does nothing."""
    mark()


settings = {
    "queue": queue,
    "functions": [call, nothing],
    "concurrency": CONCURRENCY,
    "startup": open_client,
    "shutdown": close_client,
}
"""What ``saq`` reads."""


def put_in(count: int, task: str) -> None:
    """Puts in ``count`` tasks."""
    asyncio.run(_put_in(count, task))


async def _put_in(count: int, task: str) -> None:
    await queue.connect()
    for number in range(count):
        await queue.enqueue(task, number=number)
    await queue.disconnect()
