"""Calls that somebody waits for, and what follows up on them when nobody does any more."""

import asyncio
import logging

import pytest

from taskd.execution.synchronous import SynchronousCalls


async def test_a_follow_up_that_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise RuntimeError("it cannot be kept")

    calls = SynchronousCalls()
    calls.follow_up(fail())
    await calls.join()
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "it cannot be kept"


async def test_a_follow_up_of_the_last_call_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    kept: list[str] = []

    async def keep() -> None:
        await asyncio.sleep(0)
        kept.append("request")

    async def call() -> None:
        calls.follow_up(keep())

    calls = SynchronousCalls()
    running = asyncio.create_task(calls.run(call()))
    await asyncio.sleep(0)
    await calls.drain(10)
    await calls.join()
    assert kept == ["request"]
    await running
    assert not caplog.records
