"""A catalogue that is not what was written: it is set aside, said loudly, and built anew from the journal."""

import asyncio
import random
import sqlite3
from contextlib import suppress
from pathlib import Path

import pytest

from taskd.model.status import Status
from taskd.model.task import TaskDraft
from taskd.rql.parser import parse
from taskd.store.base import Completed
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore

TASKS = 400
PAGE_BYTES = 4096


async def a_store(data: Path, fatal: list[BaseException]) -> EmbeddedStore:
    store = EmbeddedStore(StoreSettings(data=str(data)), on_fatal=fatal.append)
    await store.start()
    return store


async def fill(data: Path) -> list[str]:
    """Tasks, a few of them ended; gives the ids of all."""
    fatal: list[BaseException] = []
    store = await a_store(data, fatal)
    tasks = await store.add([TaskDraft("f", b'{"n":"%s"}' % (b"x" * 400), 0) for _ in range(TASKS)])
    await store.settle([Completed(task.id) for task in await store.claim(10)])
    await store.stop()
    assert not fatal
    return [task.id for task in tasks]


def overwrite(catalogue: Path, begin: int, rng: random.Random) -> None:
    content = bytearray(catalogue.read_bytes())
    for at in range(begin, len(content), 512):
        content[at : at + 256] = rng.randbytes(256)
    catalogue.write_bytes(content)


async def work(store: EmbeddedStore) -> None:
    """Writes and reads without end."""
    while True:
        with suppress(sqlite3.DatabaseError):
            await store.add([TaskDraft("f", b"{}", 0)])
            await store.find(parse("sort(-data.n)"))


async def work_until_it_ends(store: EmbeddedStore, fatal: list[BaseException]) -> None:
    working = asyncio.create_task(work(store))
    async with asyncio.timeout(10):
        while not fatal:
            await asyncio.sleep(0.01)
    working.cancel()
    await asyncio.wait([working])


@pytest.mark.parametrize("begin", [0, 100, PAGE_BYTES, 3 * PAGE_BYTES])
async def test_a_damaged_catalogue_is_set_aside_and_built_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, begin: int
) -> None:
    data = tmp_path / "data"
    ids = await fill(data)
    overwrite(data / "catalogue.db", begin, random.Random(begin))
    fatal: list[BaseException] = []
    store = await a_store(data, fatal)
    if not list(data.glob("*.broken-*")):  # the damage does not show in what is read at the start
        await work_until_it_ends(store, fatal)
        await store.stop()
        fatal = []
        store = await a_store(data, fatal)
    assert "It was moved to" in caplog.text
    found = {task.id: task for task in (await store.find(parse(f"limit({TASKS})"))).rows}
    offset = len(found)
    while page := (await store.find(parse(f"limit(100,{offset})"))).rows:
        found |= {task.id: task for task in page}
        offset += len(page)
    assert set(ids) <= set(found)
    assert [found[task_id].status for task_id in ids[:11]] == [Status.COMPLETE] * 10 + [Status.NEW]
    await store.stop()
    assert not fatal
