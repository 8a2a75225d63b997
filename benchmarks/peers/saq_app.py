"""SAQ: one asyncio process, Redis. Run with a number to put in as many tasks."""

import asyncio
import os
import sys
from contextlib import AsyncExitStack
from typing import Any

from saq import Queue

from benchmarks.peers.lambda_call import CONCURRENCY, async_client, invoke_async

queue = Queue.from_url(os.environ["BENCHMARK_BROKER"])


async def call(context: dict[str, Any], *, number: int) -> None:
    """The task."""
    await invoke_async(context["client"])


async def open_client(context: dict[str, Any]) -> None:
    """A client for the worker."""
    context["stack"] = AsyncExitStack()
    context["client"] = await context["stack"].enter_async_context(async_client())


async def close_client(context: dict[str, Any]) -> None:
    """Closes it."""
    await context["stack"].aclose()


settings = {
    "queue": queue,
    "functions": [call],
    "concurrency": CONCURRENCY,
    "startup": open_client,
    "shutdown": close_client,
}
"""What ``saq`` reads."""


async def put_in(count: int) -> None:
    """Puts in ``count`` tasks."""
    await queue.connect()
    for number in range(count):
        await queue.enqueue("call", number=number)
    await queue.disconnect()


if __name__ == "__main__":
    asyncio.run(put_in(int(sys.argv[1])))
