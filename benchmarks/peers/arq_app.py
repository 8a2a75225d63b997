"""arq: one asyncio process, Redis."""

import asyncio
import os
from contextlib import AsyncExitStack
from typing import Any, ClassVar

from arq import create_pool
from arq.connections import RedisSettings

from benchmarks.peers.lambda_call import CONCURRENCY, async_client, invoke_async

_REDIS = RedisSettings.from_dsn(os.environ["BENCHMARK_BROKER"])


async def call(context: dict[str, Any], number: int) -> None:
    """The task."""
    await invoke_async(context["client"])


async def open_client(context: dict[str, Any]) -> None:
    """A client for the worker."""
    context["stack"] = AsyncExitStack()
    context["client"] = await context["stack"].enter_async_context(async_client())


async def close_client(context: dict[str, Any]) -> None:
    """Closes it."""
    await context["stack"].aclose()


class WorkerSettings:
    """What ``arq`` reads."""

    functions: ClassVar = [call]
    on_startup = open_client
    on_shutdown = close_client
    redis_settings = _REDIS
    max_jobs = CONCURRENCY
    keep_result = 0


def put_in(count: int) -> None:
    """Puts in ``count`` tasks."""
    asyncio.run(_put_in(count))


async def _put_in(count: int) -> None:
    pool = await create_pool(_REDIS)
    for number in range(count):
        await pool.enqueue_job("call", number)
    await pool.aclose()
