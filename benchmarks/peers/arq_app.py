"""arq: one asyncio process, Redis."""

import asyncio
import os
from typing import Any, ClassVar

from arq import create_pool
from arq.connections import RedisSettings

from benchmarks.peers.lambda_call import CONCURRENCY, close_client, invoke_async, open_client
from benchmarks.peers.work import mark

_REDIS = RedisSettings.from_dsn(os.environ["BENCHMARK_BROKER"])


async def call(context: dict[str, Any], number: int) -> None:
    """The task."""
    await invoke_async(context["client"])


async def nothing(context: dict[str, Any], number: int) -> None:
    """The task that does nothing."""
    mark()


class WorkerSettings:
    """What ``arq`` reads."""

    functions: ClassVar = [call, nothing]
    on_startup = open_client
    on_shutdown = close_client
    redis_settings = _REDIS
    max_jobs = CONCURRENCY
    keep_result = 0


def put_in(count: int, task: str) -> None:
    """Puts in ``count`` tasks."""
    asyncio.run(_put_in(count, task))


async def _put_in(count: int, task: str) -> None:
    pool = await create_pool(_REDIS)
    for number in range(count):
        await pool.enqueue_job(task, number)
    await pool.aclose()
