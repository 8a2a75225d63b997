"""A data directory that stays as long as it is at constant load, and gets shorter when there is less in it."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from conformance.test_retention import HOUR_MS, pass_over
from support.clocks import FakeClock

from taskd.model.logline import LogLine
from taskd.model.retention import Retention
from taskd.model.task import TaskDraft
from taskd.rql.parser import parse
from taskd.store.base import Completed
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore

RETENTION = Retention(complete_ms=10 * HOUR_MS)


async def a_store(data: Path, clock: FakeClock, *, gives_back_space: bool = True) -> EmbeddedStore:
    fatal: list[BaseException] = []
    settings = StoreSettings(data=str(data), segment_mib=1, indexes=("data.patientId",))
    store = EmbeddedStore(settings, clock, fatal.append, gives_back_space=gives_back_space)
    await store.start()
    return store


async def work(store: EmbeddedStore, count: int) -> None:
    drafts = [TaskDraft("f", b'{"patientId":"p%d","x":"%s"}' % (n, b"x" * 300), 0, tags=("t",)) for n in range(count)]
    await store.add(drafts)
    while claimed := await store.claim(count):
        await store.settle([Completed(task.id, (LogLine(store.now_ms(), "line" * 20),)) for task in claimed])


def size_bytes(data: Path) -> int:
    return sum(path.stat().st_size for path in data.rglob("*") if path.is_file())


def catalogue_bytes(data: Path) -> int:
    return (data / "catalogue.db").stat().st_size


@pytest.mark.slow
async def test_a_directory_stays_flat_at_constant_load(tmp_path: Path) -> None:
    """Ten hours are kept of sixty."""
    clock = FakeClock()
    store = await a_store(tmp_path, clock)
    catalogue, whole = [], []
    for _ in range(60):
        await work(store, 500)
        clock.advance(HOUR_MS)
        await pass_over(store, RETENTION)
        await store._compactor.stop()
        catalogue.append(catalogue_bytes(tmp_path))
        whole.append(size_bytes(tmp_path))
    assert (await store.find(parse(""))).total == 10 * 500 - 500
    await store.stop()
    assert max(catalogue[20:]) < 1.15 * max(catalogue[10:20]), catalogue
    assert max(whole[20:]) < 1.15 * max(whole[10:20]), whole


async def test_space_goes_back_to_the_disk(tmp_path: Path) -> None:
    clock = FakeClock()
    store = await a_store(tmp_path, clock)
    await work(store, 6_000)
    await store.stop()
    before = catalogue_bytes(tmp_path)
    clock.advance(10 * HOUR_MS)
    store = await a_store(tmp_path, clock)
    assert await pass_over(store, RETENTION) == [6_000, 0, 0]
    await store.stop()
    assert catalogue_bytes(tmp_path) < before / 3


def mode(data: Path) -> int:
    with closing(sqlite3.connect(data / "catalogue.db")) as connection:
        return int(connection.execute("PRAGMA auto_vacuum").fetchone()[0])


async def test_a_catalogue_from_before_gives_space_back_from_the_next_start_on(tmp_path: Path) -> None:
    clock = FakeClock()
    store = await a_store(tmp_path, clock, gives_back_space=False)
    await work(store, 100)
    before = (await store.find(parse("limit(100)"))).rows
    await store.stop()
    assert mode(tmp_path) == 0
    store = await a_store(tmp_path, clock)
    assert (await store.find(parse("limit(100)"))).rows == before
    assert (await store.find(parse("data.patientId=p5"))).total == 1
    await store.stop()
    assert mode(tmp_path) == 2


async def test_what_comes_back_with_a_lost_catalogue_goes_again(tmp_path: Path) -> None:
    clock = FakeClock()
    store = await a_store(tmp_path, clock)
    await work(store, 10)
    clock.advance(10 * HOUR_MS)
    assert await pass_over(store, RETENTION) == [10, 0, 0]
    await store.stop()
    remove_catalogue(tmp_path)
    store = await a_store(tmp_path, clock)
    assert await pass_over(store, RETENTION) == [10, 0, 0]
    assert (await store.find(parse(""))).total == 0
    await store.stop()


def remove_catalogue(data: Path) -> None:
    for path in data.glob("catalogue.db*"):
        path.unlink()
