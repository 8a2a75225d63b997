"""What every store must do while everything is paused: start nothing, keep all, and go on as if nothing had been."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from support.clocks import FakeClock
from support.store.views import complete

from taskd.model.errors import UNAVAILABLE, ContractError
from taskd.model.pause import Pause
from taskd.model.schedule import ScheduleDraft
from taskd.model.task import TaskDraft
from taskd.store.base import Change, TaskStore

OpenStore = Callable[[], Awaitable[TaskStore]]


def draft(clock: FakeClock, priority: int = 0, data: bytes = b"{}") -> TaskDraft:
    return TaskDraft("f", data, clock(), priority)


async def test_nothing_is_claimed_until_all_is_resumed(open_store: OpenStore, clock: FakeClock) -> None:
    store = await open_store()
    tasks = await store.add([draft(clock, 1), draft(clock, 2, b'{"a":"%b"}' % (b"x" * 5000))])
    pause = await store.pause_all(Pause(clock(), "maintenance", "user"))
    assert store.pause() == pause == Pause(clock(), "maintenance", "user")
    assert await store.claim(9) == []
    assert store.next_due_ms() is None
    store = await open_store()
    assert store.pause() == pause
    assert await store.claim(9) == []
    assert (await store.status()).due == 2
    await store.resume_all()
    assert store.pause() is None
    assert store.next_due_ms() is not None
    assert [task.id for task in await store.claim(9)] == [tasks[1].id, tasks[0].id]
    assert (await open_store()).pause() is None


async def test_what_runs_goes_on_and_schedules_make_their_tasks(store: TaskStore, clock: FakeClock) -> None:
    await store.add([draft(clock)])
    await store.add_schedule(ScheduleDraft("f", b"{}", 1000, clock() + 1000))
    [running] = await store.claim(9)
    await store.pause_all(Pause(clock()))
    assert len(await complete(store, running)) == 1
    clock.advance(1000)
    assert len((await store.fire(9)).occurrences) == 1
    assert await store.claim(9) == []


async def test_direct_executions_are_refused_with_the_reason(store: TaskStore, clock: FakeClock) -> None:
    await store.pause_all(Pause(clock(), "moving the database."))
    with pytest.raises(ContractError, match=r"moving the database\. Call again") as raised:
        await store.add_started(draft(clock))
    assert raised.value.kind is UNAVAILABLE
    await store.resume_all()
    await store.add_started(draft(clock))


async def test_another_pause_changes_the_reason_alone(store: TaskStore, clock: FakeClock) -> None:
    began_ms = clock()
    await store.pause_all(Pause(began_ms, "one"))
    clock.advance(50)
    assert await store.pause_all(Pause(clock(), "two")) == Pause(began_ms, "two")
    await store.resume_all()
    await store.resume_all()
    assert store.pause() is None


async def test_whoever_waits_for_work_hears_of_the_end(store: TaskStore, clock: FakeClock) -> None:
    due = asyncio.Event()
    await store.pause_all(Pause(clock()))
    await store.add([draft(clock)])
    await asyncio.sleep(0)
    assert await store.claim(1) == []
    store.on_change(Change.DUE, due.set)
    await store.resume_all()
    await asyncio.wait_for(due.wait(), 10)
    assert len(await store.claim(1)) == 1


async def test_claims_and_a_pause_at_once_give_each_task_once(store: TaskStore, clock: FakeClock) -> None:
    large = b'{"a":"%b"}' % (b"x" * 5000)
    await store.add([draft(clock, data=large) for _ in range(10)])
    claims = [asyncio.create_task(store.claim(2)) for _ in range(3)]
    await store.pause_all(Pause(clock()))
    assert await store.claim(9) == []
    before = [task.id for claim in claims for task in await claim]
    await store.resume_all()
    after = [task.id for task in await store.claim(20)]
    assert len({*before, *after}) == len(before) + len(after) == 10
