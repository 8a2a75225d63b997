"""Tasks that begin without waiting in the queue."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from support.clocks import FakeClock
from support.store.views import in_progress, settle_one

from taskd.model.errors import ILLEGAL_STATE, ContractError
from taskd.model.status import Status
from taskd.model.task import TaskDraft
from taskd.rql.parser import parse
from taskd.store.base import Change, Completed, TaskStore

OpenStore = Callable[[], Awaitable[TaskStore]]


def draft(clock: FakeClock) -> TaskDraft:
    return TaskDraft(function_name="f", data=b'{"n": 1}', start_ms=clock(), priority=3, direct=True)


async def test_the_task_exists_and_is_in_progress(store: TaskStore, clock: FakeClock) -> None:
    task = await store.add_started(draft(clock))
    assert (task.status, task.direct, task.priority, task.data) == (Status.IN_PROGRESS, True, 3, b'{"n": 1}')
    assert await store.get(task.id) == task
    assert [running.id for running in await in_progress(store)] == [task.id]
    [listed] = (await store.find(parse(""))).rows
    assert (listed.id, listed.status) == (task.id, Status.IN_PROGRESS)


async def test_it_is_never_offered(store: TaskStore, clock: FakeClock) -> None:
    woken: list[bool] = []
    store.on_change(Change.DUE, lambda: woken.append(True))
    await store.add_started(draft(clock))
    assert (woken, (await store.status()).due, store.next_due_ms(), await store.claim(10)) == ([], 0, None, [])


async def test_it_settles_but_cannot_be_canceled(store: TaskStore, clock: FakeClock) -> None:
    task = await store.add_started(draft(clock))
    with pytest.raises(ContractError) as raised:
        await store.cancel(task.id)
    assert raised.value.kind is ILLEGAL_STATE
    ended = await settle_one(store, Completed(task.id))
    assert (await store.get(task.id)).status is ended.status is Status.COMPLETE


async def test_it_stands_among_others_in_the_order_of_creation(store: TaskStore, clock: FakeClock) -> None:
    first, [second], third = await asyncio.gather(
        store.add_started(draft(clock)), store.add([draft(clock)]), store.add_started(draft(clock))
    )
    assert [task.id for task in (await store.find(parse(""))).rows] == [first.id, second.id, third.id]
    assert [task.id for task in await store.claim(10)] == [second.id]


async def test_it_comes_back_as_an_orphan(open_store: OpenStore, clock: FakeClock) -> None:
    store = await open_store()
    task = await store.add_started(draft(clock))
    store = await open_store()
    assert [running.id for running in await in_progress(store)] == [task.id]
    assert await store.claim(10) == []
