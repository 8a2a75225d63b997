"""Tasks that were deleted do not come back: not with a lost catalogue, not from a damaged journal."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from support.clocks import FakeClock

from taskd.model.errors import ContractError
from taskd.model.logline import LogLine
from taskd.model.task import Task, TaskDraft
from taskd.rql.parser import parse
from taskd.store.base import Completed
from taskd.store.embedded.journal.directory import segments
from taskd.store.embedded.recovery.repair import repair
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore

INDEXED = ("data.patientId",)


async def a_store(data: Path, *, segment_mib: int = 64) -> EmbeddedStore:
    fatal: list[BaseException] = []
    settings = StoreSettings(data=str(data), segment_mib=segment_mib, indexes=INDEXED)
    store = EmbeddedStore(settings, FakeClock(), fatal.append)
    await store.start()
    return store


async def with_one_deleted(store: EmbeddedStore) -> tuple[Task, Task]:
    """A task that was deleted, and one beside it that was not."""
    drafts = [TaskDraft("f", b'{"patientId":"p%d"}' % n, 0, tags=("t",)) for n in range(2)]
    await store.add(drafts)
    deleted, kept = await store.claim(2)
    await store.settle([Completed(task.id, (LogLine(1, "line"),)) for task in (deleted, kept)])
    assert await store.delete_tasks([deleted.id]) == 1
    return deleted, kept


def remove_catalogue(data: Path) -> None:
    for path in data.glob("catalogue.db*"):
        path.unlink()


async def listed(store: EmbeddedStore) -> list[str]:
    return [task.id for task in (await store.find(parse(""))).rows]


async def test_the_catalogue_keeps_nothing_of_it(tmp_path: Path) -> None:
    store = await a_store(tmp_path)
    await with_one_deleted(store)
    await store.stop()
    with closing(sqlite3.connect(tmp_path / "catalogue.db")) as catalogue:
        counts = {
            table: catalogue.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("tasks", "logs", "task_values")
        }
        assert counts == {"tasks": 1, "logs": 1, "task_values": 2}
        assert catalogue.execute("SELECT sum(tasks) FROM task_counts").fetchone() == (1,)


async def test_it_does_not_come_back_with_a_catalogue_that_is_built_anew(tmp_path: Path) -> None:
    store = await a_store(tmp_path)
    _, kept = await with_one_deleted(store)
    await store.stop()
    remove_catalogue(tmp_path)
    store = await a_store(tmp_path)
    assert await listed(store) == [kept.id]
    await store.stop()


async def test_it_is_never_run_when_its_end_was_swallowed_by_damage(tmp_path: Path) -> None:
    """The journal then has its creation alone, and the catalogue nothing."""
    store = await a_store(tmp_path)
    [deleted] = await store.add([TaskDraft("f", b"{}", 0)])
    path = segments(tmp_path / "journal")[0][0].path
    begin = store._journal._offset
    await store.claim(1)
    await store.settle([Completed(deleted.id)])
    await store.delete_tasks([deleted.id])
    end = store._journal._offset
    [kept] = await store.add([TaskDraft("f", b"{}", 0)])
    await store.stop()
    content = bytearray(path.read_bytes())
    content[begin:end] = bytes(end - begin)
    path.write_bytes(content)
    assert repair(tmp_path, 0).live_tasks == 1
    store = await a_store(tmp_path)
    assert [task.id for task in await store.claim(9)] == [kept.id]
    with pytest.raises(ContractError):
        await store.get(deleted.id)
    await store.stop()


async def test_an_older_catalogue_learns_of_it(tmp_path: Path) -> None:
    """One of the moment before, as a copy that was put back has it."""
    store = await a_store(tmp_path)
    [task] = await store.add([TaskDraft("f", b"{}", 0)])
    await store.cancel(task.id)
    await store.stop()
    before = (tmp_path / "catalogue.db").read_bytes()
    store = await a_store(tmp_path)
    await store.delete_tasks([task.id])
    await store.stop()
    (tmp_path / "catalogue.db").write_bytes(before)
    store = await a_store(tmp_path)
    assert await listed(store) == []
    await store.stop()
