"""A catalogue that SQLite cannot write: held up or refused, said in words, and caught up with as soon as it can."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from support.http.error_shape import assert_error
from support.http.service import BASE, Service, http_service
from support.store.views import trouble

from taskd.model.logline import LogLine
from taskd.model.status import Status
from taskd.model.task import TaskDraft
from taskd.store.base import Completed
from taskd.store.embedded.catalogue import writer
from taskd.store.embedded.store import EmbeddedStore

STEPS = ("PRAGMA", "BEGIN", "INSERT INTO tasks", "INSERT INTO logs", "UPDATE tasks", "UPDATE meta", "COMMIT")
BACKLOG_MAX = 20
RUNNING = 10
RECOVERY_TIMEOUT_S = 10


class FailingConnection:
    """A connection whose disk fails at statements that begin in a certain way, a number of times."""

    def __init__(self, real: sqlite3.Connection) -> None:
        self._real = real
        self._step = ""
        self.failures = 0
        """How many are still to come."""

    def fail(self, step: str, times: int) -> None:
        self._step = step
        self.failures = times

    def execute(self, statement: str, *args: Any) -> sqlite3.Cursor:
        if self.failures and statement.startswith(self._step):
            self.failures -= 1
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_WRITE
            raise error
        return self._real.execute(statement, *args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


@pytest.fixture(autouse=True)
def quick_and_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "RETRY_S", 0.02)
    monkeypatch.setattr(writer, "BACKLOG_MAX", BACKLOG_MAX)


def failing_connection(store: EmbeddedStore) -> FailingConnection:
    """Takes the place of the connection that the store's catalogue is written through."""
    writing = store._catalogue.writer
    connection = FailingConnection(writing._connection)
    writing._connection = connection  # type: ignore[assignment]
    return connection


async def healthy(service: Service) -> None:
    async with asyncio.timeout(RECOVERY_TIMEOUT_S):
        while await trouble(service.store) is not None:
            await asyncio.sleep(0.01)


async def running_tasks(service: Service) -> list[str]:
    await service.store.add([TaskDraft("f", b"{}", 0) for _ in range(RUNNING)])
    running = [task.id for task in await service.store.claim(RUNNING)]
    await service.get("?limit(1)")  # all that was done so far is written
    return running


@pytest.mark.parametrize("step", STEPS)
async def test_a_write_that_fails_at_any_step_is_done_again_as_a_whole(tmp_path: Path, step: str) -> None:
    async with http_service(tmp_path) as service:
        running = await running_tasks(service)
        connection = failing_connection(service.store)
        connection.fail(step, times=2)
        await service.store.settle([Completed(running[0], (LogLine(1, "once"),))])
        created = await service.create()
        async with asyncio.timeout(RECOVERY_TIMEOUT_S):
            while connection.failures or await trouble(service.store) is not None:
                await asyncio.sleep(0.01)
        page = await service.get("")
        assert page["page"]["total"] == RUNNING + 1
        assert [task["status"] for task in page["data"]].count(Status.COMPLETE) == 1
        assert [line["message"] for line in (await service.get(f"/{running[0]}/logs"))["data"]] == ["once"]
        assert (await service.get(f"?id={created['id']}"))["data"] == [created]


async def create_until_refused(service: Service) -> int:
    """Gives how many were taken; the refusal names the catalogue and says when to come again."""
    taken = 0
    while True:
        async with service.client.post(BASE, json={"functionName": "f"}) as response:
            if response.status != 200:
                assert "catalogue" in (await assert_error(response, 1503))["message"]
                assert response.headers["Retry-After"]
                return taken
        taken += 1


async def check_trouble_and_recovery(service: Service, running: list[str], reason: str) -> int:
    """While nothing can be written; gives how many tasks were created."""
    taken = await create_until_refused(service)
    assert service.store._catalogue.writer.backlog <= BACKLOG_MAX + 1
    assert reason in (await trouble(service.store) or "")
    ended = await service.store.settle([Completed(task_id) for task_id in running])
    assert {task.status for task in ended if task is not None} == {Status.COMPLETE}
    async with service.client.get(BASE) as response:
        assert reason in (await assert_error(response, 1503))["message"]
    return taken


async def check_caught_up(service: Service, taken: int) -> None:
    await healthy(service)
    await service.create()
    assert (await service.get("?limit(1)"))["page"]["total"] == RUNNING + taken + 1
    assert (await service.get("?status=complete"))["page"]["total"] == RUNNING


@pytest.mark.parametrize("step", ["BEGIN", "COMMIT"])
async def test_while_the_catalogues_disk_fails_little_is_taken_and_running_tasks_end(tmp_path: Path, step: str) -> None:
    async with http_service(tmp_path) as service:
        running = await running_tasks(service)
        connection = failing_connection(service.store)
        connection.fail(step, times=1_000_000)
        taken = await check_trouble_and_recovery(service, running, "disk I/O error")
        connection.failures = 0
        await check_caught_up(service, taken)


@pytest.mark.parametrize(
    ("broken", "mended", "reason"),
    [
        ("PRAGMA max_page_count = 1", "PRAGMA max_page_count = 1000000", "full"),
        ("PRAGMA query_only = ON", "PRAGMA query_only = OFF", "readonly"),
    ],
    ids=["full", "readonly"],
)
async def test_while_sqlite_itself_refuses_to_write_little_is_taken_and_running_tasks_end(
    tmp_path: Path, broken: str, mended: str, reason: str
) -> None:
    async with http_service(tmp_path) as service:
        running = await running_tasks(service)
        connection = service.store._catalogue.writer._connection
        connection.execute(broken)
        taken = await check_trouble_and_recovery(service, running, reason)
        connection.execute(mended)
        await check_caught_up(service, taken)
