"""A catalogue that is older than the journal's snapshot: said loudly, and no task is pending for ever because of it."""

import shutil
from pathlib import Path

import pytest
from aiohttp import ClientSession
from support.daemon.process import api_of, running_daemon
from support.store.views import lost_history

from taskd.model.status import Status
from taskd.model.task import ZOMBIE_ERROR_NAME, Task, TaskDraft
from taskd.rql.parser import parse
from taskd.store.base import Completed
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore

LATER_MS = 4_000_000_000_000
PADDING = b'{"n":"%s"}' % (b"x" * 400_000)
DONE, CANCELED, WAITING = range(3)
"""What becomes of the tasks after the catalogue was copied, by their place."""


async def a_store(data: Path) -> EmbeddedStore:
    store = EmbeddedStore(StoreSettings(data=str(data), segment_mib=1))
    await store.start()
    return store


async def tasks_of(store: EmbeddedStore) -> dict[str, Task]:
    return {task.id: task for task in (await store.find(parse("limit(100)"))).rows}


def copy_catalogue(data: Path, target: Path) -> None:
    target.mkdir()
    for part in data.glob("catalogue.db*"):
        shutil.copy(part, target)


def restore_catalogue(data: Path, source: Path) -> None:
    for part in data.glob("catalogue.db*"):
        part.unlink()
    for part in source.iterdir():
        shutil.copy(part, data)


async def go_on(data: Path) -> list[str]:
    """Tasks meet different ends, and one that is new comes and goes, before the journal is compacted."""
    store = await a_store(data)
    ids = list(await tasks_of(store))
    await store.cancel(ids[CANCELED])
    await store.settle([Completed(task.id) for task in await store.claim(1)])
    await store.add([TaskDraft("f", PADDING, 0)])
    await store.settle([Completed(task.id) for task in await store.claim(1)])
    for _ in range(3):
        await store.add([TaskDraft("f", PADDING, LATER_MS)])
    await store.compact()
    await store.stop()
    return ids


async def with_an_older_catalogue(tmp_path: Path) -> tuple[Path, list[str]]:
    """A data directory whose catalogue never heard how the first two tasks ended; gives the ids."""
    data = tmp_path / "data"
    store = await a_store(data)
    await store.add([TaskDraft("f", b"{}", due_ms) for due_ms in (0, LATER_MS, LATER_MS)])
    await store.stop()
    copy_catalogue(data, tmp_path / "copy")
    ids = await go_on(data)
    restore_catalogue(data, tmp_path / "copy")
    return data, ids


async def test_tasks_that_ended_unheard_of_are_shown_as_ended_in_an_unknown_way(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data, ids = await with_an_older_catalogue(tmp_path)
    for start in range(2):
        store = await a_store(data)
        found = await tasks_of(store)
        for ended in (DONE, CANCELED):
            task = found[ids[ended]]
            assert (task.status, task.error and task.error.name) == (Status.FAILED, ZOMBIE_ERROR_NAME)
        assert found[ids[WAITING]].status is Status.NEW
        pending = {task.id for task in found.values() if task.status is Status.NEW}
        assert pending == set(store._commits.state.tasks), "what is listed as waiting is what waits"
        assert (
            ("catalogue is older than the journal" in caplog.text)
            is (await lost_history(store) is not None)
            is (start == 0)
        )
        caplog.clear()
        await store.stop()


async def test_what_ended_unheard_of_is_not_offered_again(tmp_path: Path) -> None:
    data, ids = await with_an_older_catalogue(tmp_path)
    store = await a_store(data)
    offered = [task.id for task in await store.claim(10)]
    assert not {ids[DONE], ids[CANCELED]} & set(offered)
    await store.stop()


async def test_a_catalogue_that_lags_behind_frames_that_are_all_there_loses_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    store = await a_store(data)
    [task] = await store.add([TaskDraft("f", b"{}", 0)])
    await store.stop()
    copy_catalogue(data, tmp_path / "copy")
    store = await a_store(data)
    await store.claim(1)
    await store.settle([Completed(task.id)])
    await store.stop()
    restore_catalogue(data, tmp_path / "copy")
    store = await a_store(data)
    assert (await store.get(task.id)).status is Status.COMPLETE
    assert await lost_history(store) is None
    await store.stop()


async def test_health_says_which_history_is_lost_and_the_daemon_works_on(tmp_path: Path) -> None:
    _, ids = await with_an_older_catalogue(tmp_path)
    async with running_daemon(tmp_path) as daemon, ClientSession() as session, api_of(daemon) as api:
        async with session.get(f"{daemon.url}/health") as response:
            assert response.status == 200
            assert "catalogue is older than the journal" in (await response.json())["lostHistory"]
        assert (await api.get(ids[DONE]))["error"]["name"] == ZOMBIE_ERROR_NAME
        assert "catalogue is older than the journal" in daemon.log.read_text()
