"""Each system call of a purge fails once: it is told, the daemon is to end where nobody knows what is on the disk, and
the next purge does it all."""

import asyncio
import errno
from pathlib import Path

import pytest
from support.clocks import FakeClock
from support.disk.failing_calls import FailingCalls

from taskd.model.task import TaskDraft
from taskd.rql.parser import parse
from taskd.store.base import StoreUnavailableError
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore

PATIENT = b"patient-4711"
SYNCS = ("fsync", "fdatasync")


async def a_store(data: Path, fatal: list[BaseException]) -> EmbeddedStore:
    store = EmbeddedStore(StoreSettings(data=str(data)), FakeClock(), fatal.append)
    await store.start()
    return store


async def with_an_erased_task(store: EmbeddedStore, data: Path) -> None:
    tasks = await store.add([TaskDraft("f", b'{"a":"%s"}' % text, 0) for text in (PATIENT, b"somebody")])
    await store.cancel(tasks[0].id)
    await store.erase_tasks([tasks[0].id])
    (data / "journal.damaged-1").mkdir()
    (data / "catalogue.db.broken-1").write_bytes(PATIENT)


def is_anywhere(data: Path) -> bool:
    return any(PATIENT in path.read_bytes() for path in data.rglob("*") if path.is_file())


async def purge_failing_at(data: Path, number: int | None, monkeypatch: pytest.MonkeyPatch) -> FailingCalls:
    """A purge whose call of this number fails; then, in a store that was opened again if need be, another one."""
    fatal: list[BaseException] = []
    store = await a_store(data, fatal)
    await with_an_erased_task(store, data)
    calls = FailingCalls(data, number, errno.EIO)
    with calls.active(monkeypatch):
        purging = asyncio.create_task(store.purge())
        while not (purging.done() or fatal):  # the process ends then, whoever waits
            await asyncio.sleep(0)
        is_purged = purging.done() and purging.exception() is None
        if not fatal:
            assert is_purged or isinstance(purging.exception(), StoreUnavailableError)
            await store.get((await store.find(parse("limit(1)"))).rows[0].id)
        purging.cancel()
    assert not is_purged or not is_anywhere(data), calls.failed
    assert not fatal or calls.failed in SYNCS, calls.failed  # that of a file nobody knows of yet is none
    assert fatal or calls.failed != "fdatasync"
    await store.stop()
    store = await a_store(data, [])
    await store.purge()
    assert not is_anywhere(data), calls.failed
    assert (await store.find(parse(""))).total == 1
    await store.stop()
    return calls


async def test_each_call_of_a_purge_fails_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = (await purge_failing_at(tmp_path / "none", None, monkeypatch)).count
    assert count > 10
    for number in range(count):
        await purge_failing_at(tmp_path / str(number), number, monkeypatch)
