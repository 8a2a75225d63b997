"""SAQ: one asyncio process, Redis."""

import asyncio
import os
from typing import Any

from saq import Queue

from benchmarks.peers.lambda_call import CONCURRENCY, close_client, invoke_async, open_client

queue = Queue.from_url(os.environ["BENCHMARK_BROKER"])


async def call(context: dict[str, Any], *, number: int) -> None:
    """The task."""
    await invoke_async(context["client"])


settings = {
    "queue": queue,
    "functions": [call],
    "concurrency": CONCURRENCY,
    "startup": open_client,
    "shutdown": close_client,
}
"""What ``saq`` reads."""


def put_in(count: int) -> None:
    """Puts in ``count`` tasks."""
    asyncio.run(_put_in(count))


async def _put_in(count: int) -> None:
    await queue.connect()
    for number in range(count):
        await queue.enqueue("call", number=number)
    await queue.disconnect()
