"""Replacing a waiting task: the indexes on its data say what it has now, and nothing of what it had."""

import sqlite3
from contextlib import closing
from pathlib import Path

from support.clocks import FakeClock

from taskd.model.task import TaskDraft
from taskd.model.task_extras import OnConflict, TaskExtras, UniqueKey, WhileKind
from taskd.rql.parser import parse
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore

UNIQUE = TaskExtras(unique=UniqueKey("k", WhileKind.PENDING))


async def test_the_index_follows_what_is_replaced(tmp_path: Path) -> None:
    clock = FakeClock()
    store = EmbeddedStore(StoreSettings(data=str(tmp_path), indexes=("data.p",)), clock)
    await store.start()
    for value in ("one", "two", "three"):
        data = b'{"p":"%b"}' % value.encode()
        asked = TaskDraft("f", data, clock(), extras=UNIQUE, on_conflict=OnConflict.REPLACE)
        await store.add_unique([asked])
        found = await store.find(parse(f"data.p={value}"))
        assert [task.data for task in found.rows] == [data]
        assert not found.scanned
    await store.stop()
    with closing(sqlite3.connect(tmp_path / "catalogue.db")) as connection:
        assert connection.execute("SELECT value FROM task_values").fetchall() == [("three",)]
