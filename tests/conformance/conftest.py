"""The stores that every test of the seam runs against."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from support.clocks import FakeClock
from support.store.memory_store import MemoryStore, SharedRecords

from taskd.store.base import TaskStore
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore

OpenStore = Callable[[], Awaitable[TaskStore]]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["embedded", "memory"])
async def open_store(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> AsyncIterator[OpenStore]:
    """Opens the store, closing it first if it was open: what comes back is what was kept."""
    opened: list[TaskStore] = []
    fatal: list[BaseException] = []
    shared = SharedRecords(clock)

    async def reopen() -> TaskStore:
        for earlier in opened:
            await earlier.stop()
        embedded = request.param == "embedded"
        settings = StoreSettings(data=str(tmp_path / "data"))
        store: TaskStore = EmbeddedStore(settings, clock, fatal.append) if embedded else MemoryStore(shared)
        await store.start()
        opened.append(store)
        return store

    yield reopen
    for node in opened:
        await node.stop()
    assert not fatal


@pytest.fixture
async def store(open_store: OpenStore) -> TaskStore:
    return await open_store()
