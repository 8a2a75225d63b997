"""A catalogue on a disk that is stuck or slow: what waits for it stays small, is refused in time, and is not lost."""

import asyncio
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.http.error_shape import assert_error
from support.http.service import BASE, Service, http_service
from support.store.views import trouble

from taskd.model.status import Status
from taskd.model.task import Task, TaskDraft
from taskd.rql.parser import parse
from taskd.store.base import Completed
from taskd.store.embedded.catalogue import statements, writer
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore

DATA_BYTES = 50_000
TIME_LIMIT_S = 0.2
WAIT_S = 20
RUNNING = 10
BACKLOG_CHARS_MAX = 20 * DATA_BYTES
LONGEST_TEXT = 8 * DATA_BYTES


class StuckConnection:
    """A connection whose commits do not come back while it is stuck."""

    def __init__(self, real: sqlite3.Connection) -> None:
        self._real = real
        self.moves = threading.Event()

    def execute(self, statement: str, *args: Any) -> sqlite3.Cursor:
        if statement == "COMMIT":
            assert self.moves.wait(WAIT_S)
        return self._real.execute(statement, *args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "BACKLOG_CHARS_MAX", BACKLOG_CHARS_MAX)


@contextmanager
def stuck_disk(store: EmbeddedStore) -> Iterator[StuckConnection]:
    """The catalogue's disk is stuck until it is told to move, or the context ends."""
    writing = store._catalogue.writer
    connection = StuckConnection(writing._connection)
    writing._connection = connection  # type: ignore[assignment]
    try:
        yield connection
    finally:
        connection.moves.set()


def draft() -> TaskDraft:
    return TaskDraft("f", b'{"x":"%s"}' % (b"y" * DATA_BYTES), 0)


async def create_until_refused(service: Service) -> int:
    """Gives how many were taken; the refusal names the catalogue and says when to come again."""
    taken = 0
    while True:
        async with service.client.post(BASE, json={"functionName": "f", "data": {"x": "y" * DATA_BYTES}}) as response:
            if response.status != 200:
                assert "catalogue" in (await assert_error(response, 1503))["message"]
                assert response.headers["Retry-After"]
                return taken
        taken += 1


async def check_stuck(service: Service, running: Sequence[Task]) -> int:
    """While nothing is written; gives how many tasks were created."""
    taken = await create_until_refused(service)
    assert 0 < taken <= BACKLOG_CHARS_MAX // DATA_BYTES + 1
    async with service.client.get(BASE) as response:
        await assert_error(response, 1503)
    ended = await service.store.settle([Completed(task.id) for task in running])
    assert {task.status for task in ended if task is not None} == {Status.COMPLETE}
    return taken


async def test_behind_a_stuck_disk_little_waits_and_the_rest_is_refused_in_time(tmp_path: Path) -> None:
    settings = StoreSettings(data=str(tmp_path / "data"), listing_time_limit_s=TIME_LIMIT_S)
    async with http_service(tmp_path, store_settings=settings) as service, asyncio.timeout(WAIT_S):
        await service.store.add([draft() for _ in range(RUNNING)])
        running = await service.store.claim(RUNNING)
        await service.get("?limit(1)")  # all that was done so far is written
        with stuck_disk(service.store):
            taken = await check_stuck(service, running)
        await service.store._catalogue.caught_up()
        assert (await service.get("?limit(1)"))["page"]["total"] == RUNNING + taken
        assert (await service.get("?limit(1)&status=complete"))["page"]["total"] == RUNNING
        await service.create()


async def test_what_waits_for_room_goes_on_as_soon_as_the_disk_moves(tmp_path: Path) -> None:
    async with http_service(tmp_path) as service, asyncio.timeout(WAIT_S):
        with stuck_disk(service.store) as connection:
            await service.store.add([draft() for _ in range(BACKLOG_CHARS_MAX // DATA_BYTES + 1)])
            waiting = [asyncio.create_task(service.create()) for _ in range(3)]
            done, _ = await asyncio.wait(waiting, timeout=TIME_LIMIT_S)
            assert not done
            connection.moves.set()
            await asyncio.gather(*waiting)


async def test_more_than_sqlite_takes_at_once_is_written_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statements, "CHARS_MAX", 2 * DATA_BYTES)
    store = EmbeddedStore(StoreSettings(data=str(tmp_path)))
    await store.start()
    store._catalogue.writer._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_TEXT)
    async with asyncio.timeout(WAIT_S):
        await store.add([draft() for _ in range(20)])
        page = await store.find(parse("limit(100)"))
    assert (len(page.rows), page.total, await trouble(store)) == (20, 20, None)
    await store.stop()
