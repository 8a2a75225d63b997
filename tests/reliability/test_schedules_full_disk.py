"""Schedules and idempotency keys on a full disk: what was refused has not happened, and is made up for once."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.clocks import FakeClock
from support.store.views import trouble

from taskd.model.idempotency import IdempotencyKey
from taskd.model.schedule import ScheduleDraft
from taskd.model.task import TaskDraft
from taskd.rql.parser import parse
from taskd.store.base import StoreUnavailableError
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore

MINUTE_MS = 60_000
LARGE = TaskDraft("f", b'{"x": "' + b"x" * 100_000 + b'"}', 0)
SMALL = TaskDraft("f", b"{}", 0)
KEY = b"a key of a request"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def store(small_disk: Path, clock: FakeClock) -> AsyncIterator[EmbeddedStore]:
    fatal: list[BaseException] = []
    store = EmbeddedStore(StoreSettings(data=str(small_disk / "data")), clock, fatal.append)
    await store.start()
    yield store
    await store.stop()
    assert not fatal


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Meanwhile a file takes all the space that is left: it wants as much as the whole disk has."""
    space = os.statvfs(disk)
    filler = disk / "filler"
    with pytest.raises(OSError, match="No space left"):
        filler.write_bytes(bytes(space.f_blocks * space.f_frsize))
    yield
    filler.unlink()


async def recovered(store: EmbeddedStore) -> None:
    """Returns when the store has noticed that there is room again."""
    async with asyncio.timeout(10):
        while await trouble(store) is not None:
            await asyncio.sleep(0.05)


async def test_schedules_wait_for_room_and_fire_once_then(
    store: EmbeddedStore, small_disk: Path, clock: FakeClock
) -> None:
    schedule = await store.add_schedule(ScheduleDraft("f", b"{}", MINUTE_MS, clock()))
    with full(small_disk):
        with pytest.raises(StoreUnavailableError):
            await store.add([LARGE])
        for _ in range(5):
            with pytest.raises(StoreUnavailableError):
                await store.fire(10)
            clock.advance(MINUTE_MS)
        for change in (store.add_schedule(ScheduleDraft("f", b"{}", 1, 0)), store.remove_schedule(schedule.id)):
            with pytest.raises(StoreUnavailableError):
                await change
    await recovered(store)
    [occurrence] = (await store.fire(10)).occurrences
    assert (occurrence.task.start_ms, occurrence.skipped) == (schedule.start_ms, 5)
    assert (await store.fire(10)).occurrences == []
    await store.remove_schedule(schedule.id)


async def test_a_key_of_a_refused_request_is_free_again(store: EmbeddedStore, small_disk: Path) -> None:
    with full(small_disk), pytest.raises(StoreUnavailableError):
        await store.add([LARGE], IdempotencyKey(KEY, b"large"))
    await recovered(store)
    [task] = await store.add([SMALL], IdempotencyKey(KEY, b"small"))
    assert await store.add([SMALL], IdempotencyKey(KEY, b"small")) == [task]
    assert (await store.find(parse(""))).rows == [task]
