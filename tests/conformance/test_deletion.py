"""Tasks that are deleted for good: held to by every store."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from conformance.test_store import bring_to
from support.clocks import FakeClock

from taskd.model.errors import RESOURCE_UNKNOWN, ContractError
from taskd.model.idempotency import IdempotencyKey
from taskd.model.logline import LogLine
from taskd.model.status import FINAL, Status
from taskd.model.task import TaskDraft
from taskd.rql.parser import parse
from taskd.store.base import Completed, TaskStore

OpenStore = Callable[[], Awaitable[TaskStore]]
LINES = (LogLine(1, "printed"),)


async def an_ended(store: TaskStore) -> str:
    """The id of a task that has ended, and has log lines."""
    task = await store.add_started(TaskDraft("f", b'{"n":1}', 0, tags=("x",)))
    await store.settle([Completed(task.id, LINES)])
    return task.id


async def unknown(store: TaskStore, task_id: str) -> bool:
    """Whether nothing is known of a task, whichever way one asks for it."""
    with pytest.raises(ContractError) as caught:
        await store.get(task_id)
    listed = (await store.find(parse(f"id={task_id}"))).rows
    lines = await store.find_logs(task_id, 0, 0, 9)
    return caught.value.kind is RESOURCE_UNKNOWN and not listed and not lines


@pytest.mark.parametrize("status", [status for status in Status if status in FINAL])
async def test_what_has_ended_is_deleted_for_good(open_store: OpenStore, clock: FakeClock, status: Status) -> None:
    store = await open_store()
    task = await bring_to(store, clock, status)
    kept = await an_ended(store)
    assert await store.delete_tasks([task.id]) == 1
    assert await unknown(store, task.id)
    store = await open_store()
    assert await unknown(store, task.id)
    assert (await store.get(kept)).status is Status.COMPLETE
    assert await store.find_logs(kept, 0, 0, 9) == list(LINES)


@pytest.mark.parametrize("status", [status for status in Status if status not in FINAL])
async def test_what_waits_or_runs_stays(store: TaskStore, clock: FakeClock, status: Status) -> None:
    task = await bring_to(store, clock, status)
    assert await store.delete_tasks([task.id, "f" * 24]) == 0
    assert await store.get(task.id) == task


async def test_many_are_deleted_at_once_and_totals_know(store: TaskStore) -> None:
    ids = [await an_ended(store) for _ in range(300)]
    running = await store.add_started(TaskDraft("f", b"{}", 0))
    assert await store.delete_tasks([*ids[:200], running.id, *ids[:200]]) == 200
    for query, total in (("", 101), ("status=complete", 100), ("functionName=f", 101), ("tags=x", 100)):
        page = await store.find(parse(f"{query}&limit(50)" if query else "limit(50)"))
        assert page.total == total, query
    lines = await store.find_function_logs("f", 0, 9, 0, 1000)
    assert len(lines) == 100


async def test_two_calls_at_once_delete_a_task_once(store: TaskStore) -> None:
    task_id = await an_ended(store)
    counts = await asyncio.gather(*(store.delete_tasks([task_id]) for _ in range(3)))
    assert sorted(counts) == [0, 0, 1]


async def test_lines_that_come_after_the_deletion_are_not_kept(store: TaskStore) -> None:
    task_id = await an_ended(store)
    await store.delete_tasks([task_id])
    await store.replace_logs(task_id, LINES)
    assert await store.find_logs(task_id, 0, 0, 9) == []


async def test_a_request_that_is_sent_again_after_the_deletion_creates_nothing(store: TaskStore) -> None:
    key = IdempotencyKey(b"k", b"the same request")
    [task] = await store.add([TaskDraft("f", b"{}", 0)], key)
    await store.cancel(task.id)
    await store.delete_tasks([task.id])
    with pytest.raises(ContractError) as caught:
        await store.add([TaskDraft("f", b"{}", 0)], key)
    assert caught.value.kind is RESOURCE_UNKNOWN
    assert (await store.find(parse(""))).total == 0
