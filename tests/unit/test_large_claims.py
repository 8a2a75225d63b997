"""Large data is read when its task starts: as much as may be in memory, and never a task without its own data."""

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.clocks import FakeClock
from support.store.journals import write_journal
from support.store.views import complete

from taskd.model.status import Status
from taskd.model.task import TaskDraft
from taskd.rql.parser import parse
from taskd.store.base import Change, StoreUnavailableError
from taskd.store.embedded.events import encode_events
from taskd.store.embedded.journal.format import segment_name
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore

LIMIT_MIB = 16
MIB = 1 << 20
LARGE = b'{"a":"%b"}' % (b"x" * (3 * MIB // 2))
HUGE = b'{"a":"%b"}' % (b"x" * 5 * MIB)
"""More than may be in memory of running tasks."""
SMALL = b"{}"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def store(tmp_path: Path, clock: FakeClock) -> AsyncIterator[EmbeddedStore]:
    fatal: list[BaseException] = []
    store = await opened(tmp_path, clock, fatal)
    yield store
    await store.stop()
    assert not fatal


async def opened(folder: Path, clock: FakeClock, fatal: list[BaseException]) -> EmbeddedStore:
    settings = StoreSettings(data=str(folder / "data"), live_memory_mib=LIMIT_MIB)
    store = EmbeddedStore(settings, clock, fatal.append)
    await store.start()
    return store


async def waiting(store: EmbeddedStore, *data: bytes) -> list[str]:
    """Tasks with these data that are due, the first of them first, and written down; gives their ids."""
    tasks = await store.add([TaskDraft("f", each, 0, -place) for place, each in enumerate(data)])
    await store.find(parse("limit(1)"))
    return [task.id for task in tasks]


async def test_no_more_is_claimed_than_may_be_in_memory_and_the_rest_when_there_is_room(store: EmbeddedStore) -> None:
    ids = await waiting(store, LARGE, SMALL, LARGE, LARGE, SMALL)
    heard: list[str] = []
    store.on_change(Change.DUE, lambda: heard.append("due"))
    first = await store.claim(10)
    assert [task.id for task in first] == ids[:3], "the fourth has no room, and the fifth does not overtake it"
    assert await store.claim(10) == []
    assert store.next_due_ms() is None, "whoever looks at it would look again and again"
    heard.clear()
    await complete(store, first[1])
    assert not heard, "that made no room"
    await complete(store, first[0])
    assert heard
    assert store.next_due_ms() is not None
    rest = await store.claim(10)
    assert [(task.id, task.data) for task in rest] == [(ids[3], LARGE), (ids[4], SMALL)]


async def test_what_is_more_urgent_overtakes_a_task_that_waits_for_memory(store: EmbeddedStore) -> None:
    await waiting(store, LARGE, LARGE, LARGE)
    assert len(await store.claim(10)) == 2
    assert await store.claim(10) == []
    heard: list[str] = []
    store.on_change(Change.DUE, lambda: heard.append("due"))
    [urgent] = await store.add([TaskDraft("f", SMALL, 0, 1)])
    assert heard
    assert [task.id for task in await store.claim(10)] == [urgent.id]
    heard.clear()
    assert await store.claim(10) == []
    assert not heard, "it would be looked at again and again"


async def test_the_end_of_a_large_task_is_not_missed_while_its_data_is_read(store: EmbeddedStore) -> None:
    [task_id] = await waiting(store, LARGE)
    ended = asyncio.create_task(store.ended(task_id))
    await asyncio.sleep(0)
    await complete(store, *(await store.claim(1)))
    async with asyncio.timeout(10):
        assert (await ended).data == LARGE


async def test_a_task_whose_data_is_more_than_may_be_runs_alone(store: EmbeddedStore) -> None:
    ids = await waiting(store, HUGE, HUGE)
    for task_id in ids:
        [claimed] = await store.claim(10)
        assert (claimed.id, claimed.data) == (task_id, HUGE)
        assert await store.claim(10) == []
        await complete(store, claimed)


async def test_waiting_tasks_hold_none_of_their_data(store: EmbeddedStore, clock: FakeClock) -> None:
    await waiting(store, LARGE, LARGE)
    tasks = store._commits.state.tasks
    assert (tasks.stored, tasks.loaded_bytes) == (2, 0)
    [claimed] = await store.claim(1)
    assert (tasks.stored, tasks.loaded_bytes) == (1, len(LARGE))
    await complete(store, claimed)
    assert (tasks.stored, tasks.loaded_bytes) == (1, 0)


async def test_data_that_the_catalogue_has_damaged_comes_from_the_journal(
    store: EmbeddedStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ids = await waiting(store, LARGE, LARGE, SMALL)
    damage(tmp_path, f"UPDATE tasks SET data = '{{}}' WHERE id = '{ids[0]}'")
    damage(tmp_path, f"DELETE FROM tasks WHERE id = '{ids[1]}'")
    assert [(task.id, len(task.data)) for task in await store.claim(10)] == [
        (task_id, len(data)) for task_id, data in zip(ids, (LARGE, LARGE, SMALL), strict=True)
    ]
    assert "lost or damaged" in caplog.text


async def test_a_task_whose_data_is_lost_fails_and_is_not_run(
    store: EmbeddedStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lost, sound = await waiting(store, LARGE, LARGE)
    damage(tmp_path, f"UPDATE tasks SET data = '{{}}' WHERE id = '{lost}'")
    with other_journal(tmp_path, is_sound=True):
        assert [task.id for task in await store.claim(10)] == [sound]
    task = await store.get(lost)
    assert (task.status, task.error and task.error.name) == (Status.FAILED, "TASK_DATA_LOST")
    assert lost in caplog.text


async def test_what_cannot_be_read_now_waits_and_is_overtaken(store: EmbeddedStore, tmp_path: Path) -> None:
    large, small = await waiting(store, LARGE, SMALL)
    damage(tmp_path, f"UPDATE tasks SET data = '{{}}' WHERE id = '{large}'")
    with other_journal(tmp_path, is_sound=False):
        assert [task.id for task in await store.claim(2)] == [small]
        for asking in (store.claim(2), store.cancel(large), store.get(large)):
            with pytest.raises(StoreUnavailableError):
                await asking
    assert [(task.id, task.data) for task in await store.claim(2)] == [(large, LARGE)]


async def test_a_claim_that_the_disk_refuses_leaves_its_tasks_waiting(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await waiting(store, LARGE, SMALL)
    claiming = asyncio.create_task(store.claim(2))
    monkeypatch.setattr(store._journal, "_write", lambda group: OSError(28, "No space left on device"))
    with pytest.raises(StoreUnavailableError):
        await claiming
    monkeypatch.undo()
    tasks = store._commits.state.tasks
    assert (tasks.stored, tasks.loaded_bytes) == (1, 0)
    async with asyncio.timeout(10):
        while store._journal.full is not None:
            await asyncio.sleep(0.05)
    assert [task.id for task in await store.claim(2)] == ids


def damage(folder: Path, statement: str) -> None:
    with sqlite3.connect(folder / "data" / "catalogue.db") as connection:
        connection.execute(statement)
    connection.close()


@contextmanager
def other_journal(folder: Path, *, is_sound: bool) -> Iterator[None]:
    """Whoever looks for the journal finds one in which nothing has happened, or one that cannot be read."""
    journal = folder / "data" / "journal"
    aside = journal.rename(journal.with_name("aside"))
    journal.mkdir()
    if is_sound:
        write_journal(journal, [encode_events([])])
    else:
        (journal / segment_name(1)).write_bytes(b"no journal")
    yield
    shutil.rmtree(journal)
    aside.rename(journal)
