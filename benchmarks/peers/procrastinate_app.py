"""Procrastinate: one asyncio process, PostgreSQL. Run with a number to put in as many tasks, without to work."""

import asyncio
import os
import sys
from typing import Any

from procrastinate import App, PsycopgConnector

from benchmarks.peers.lambda_call import CONCURRENCY, async_client, invoke_async

app = App(connector=PsycopgConnector(conninfo=os.environ["BENCHMARK_BROKER"]))
clients: list[Any] = []


@app.task(name="call")
async def call(number: int) -> None:
    """The task."""
    await invoke_async(clients[0])


async def put_in(count: int) -> None:
    """Puts in ``count`` tasks, into a new database."""
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        for number in range(count):
            await call.defer_async(number=number)


async def work() -> None:
    """Runs tasks until it is ended."""
    async with app.open_async(), async_client() as client:
        clients.append(client)
        await app.run_worker_async(concurrency=CONCURRENCY)


if __name__ == "__main__":
    asyncio.run(put_in(int(sys.argv[1])) if len(sys.argv) > 1 else work())
