"""The stores that every test of the seam runs against."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from support.clocks import FakeClock

from taskd.store.base import TaskStore
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore

OpenStore = Callable[[], Awaitable[TaskStore]]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["embedded"])
async def open_store(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> AsyncIterator[OpenStore]:
    """Opens the store, closing it first if it was open: what comes back is what was kept."""
    assert request.param == "embedded"
    opened: list[EmbeddedStore] = []
    fatal: list[BaseException] = []

    async def reopen() -> TaskStore:
        for store in opened:
            await store.stop()
        store = EmbeddedStore(StoreSettings(data=str(tmp_path / "data")), clock, fatal.append)
        await store.start()
        opened.append(store)
        return store

    yield reopen
    for store in opened:
        await store.stop()
    assert not fatal


@pytest.fixture
async def store(open_store: OpenStore) -> TaskStore:
    return await open_store()
