"""Files that earlier releases wrote: every later version starts on them and shows what their clients saw."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from conformance.test_retention import HOUR_MS, pass_over
from support.clocks import FakeClock
from support.store.releases import open_store, seen
from support.store.views import in_progress

from taskd.model.retention import Retention
from taskd.model.task import ZOMBIE_ERROR_NAME
from taskd.rql.parser import parse
from taskd.store.base import Completed
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore

RELEASES = sorted((Path(__file__).parent.parent / "fixtures").glob("v*"))


@pytest.fixture(params=RELEASES, ids=lambda release: release.name)
def left(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of what a release left."""
    return Path(shutil.copytree(request.param, tmp_path / "data"))


def remove_catalogue(data: Path) -> None:
    for path in data.glob("catalogue.db*"):
        path.unlink()


async def test_what_a_release_left_is_all_there(left: Path) -> None:
    expected = json.loads((left / "expected.json").read_text())
    store = await open_store(left, FakeClock())
    assert await seen(store) == expected
    ended = (await store.find(parse("status=complete"))).rows
    assert [line.message for line in await store.find_logs(ended[0].id, 0, 0, 10)] == ["a line"]
    await store.stop()


async def test_work_goes_on_where_a_release_left_it(left: Path) -> None:
    clock = FakeClock()
    clock.advance(3_600_000)
    store = await open_store(left, clock)
    assert {task.error.name for task in await store.reap(100) if task.error} == {ZOMBIE_ERROR_NAME}
    assert not await in_progress(store)
    while running := await store.claim(10):
        await store.settle([Completed(task.id) for task in running])
    assert not (await store.find(parse("in(status,new,inProgress)"))).rows
    assert (await store.fire(10)).occurrences
    await store.compact()
    await store.stop()


async def test_a_releases_history_expires_and_its_catalogue_gives_back_space(left: Path) -> None:
    clock = FakeClock()
    clock.advance(10 * HOUR_MS)
    store = EmbeddedStore(StoreSettings(data=str(left)), clock, gives_back_space=True)
    await store.start()
    before = (await store.find(parse("in(status,complete,failed,canceled,retried)"))).total
    assert before
    assert (await pass_over(store, Retention(*[HOUR_MS] * 6)))[0] == before
    assert not (await store.find(parse("in(status,complete,failed,canceled,retried)"))).rows
    await store.stop()
    with closing(sqlite3.connect(left / "catalogue.db")) as catalogue:
        assert catalogue.execute("PRAGMA auto_vacuum").fetchone() == (2,)


async def test_without_its_catalogue_a_releases_journal_gives_what_still_waits(left: Path) -> None:
    expected = json.loads((left / "expected.json").read_text())
    remove_catalogue(left)
    store = await open_store(left, FakeClock())
    found = await seen(store)
    await store.stop()
    alive = [task for task in expected["tasks"] if task["status"] in ("new", "inProgress")]
    assert [task for task in found["tasks"] if task["status"] in ("new", "inProgress")] == alive
    assert found["functions"] == expected["functions"]
    assert found["schedules"] == expected["schedules"]
