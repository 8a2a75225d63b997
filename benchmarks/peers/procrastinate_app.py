"""Procrastinate: one asyncio process, PostgreSQL."""

import asyncio
import os
from typing import Any

from procrastinate import App, PsycopgConnector

from benchmarks.peers.lambda_call import CONCURRENCY, async_client, invoke_async
from benchmarks.peers.work import mark

app = App(connector=PsycopgConnector(conninfo=os.environ["BENCHMARK_BROKER"]))
clients: list[Any] = []


@app.task(name="call")
async def call(number: int) -> None:
    """The task."""
    await invoke_async(clients[0])


@app.task(name="nothing")
async def nothing(number: int) -> None:
    """The task that does nothing."""
    mark()


def put_in(count: int, task: str) -> None:
    """Puts in ``count`` tasks, into a new database."""
    asyncio.run(_put_in(count, task))


def work() -> None:
    """Runs tasks until it is ended."""
    asyncio.run(_work())


async def _put_in(count: int, task: str) -> None:
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        for number in range(count):
            await app.tasks[task].defer_async(number=number)


async def _work() -> None:
    async with app.open_async(), async_client() as client:
        clients.append(client)
        await app.run_worker_async(concurrency=CONCURRENCY)
