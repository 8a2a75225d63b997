"""Failures without room for their event: the task ends all the same, and the event comes once, when there is room."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.disk.full_disk import fill
from support.store.views import trouble

from taskd.maintenance.owed_events import OwedEvents
from taskd.model.dispatcher import Action, ActionType, DispatcherDraft
from taskd.model.errors import TOO_MANY_REQUESTS, ContractError
from taskd.model.event import EventDraft
from taskd.model.status import Status
from taskd.model.task import ErrorType, Task, TaskDraft, TaskError
from taskd.rql.parser import parse
from taskd.store.base import Completed, Failed, StoreUnavailableError
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore

ERROR = TaskError(ErrorType.RUNTIME, "E", "it went wrong")
REPAIR = DispatcherDraft("task_failed", (Action("", ActionType.TASK, function_name="repair"),))


@asynccontextmanager
async def opened(directory: Path, live_tasks_max: int = 1_000) -> AsyncIterator[EmbeddedStore]:
    fatal: list[BaseException] = []
    settings = StoreSettings(data=str(directory / "data"), segment_mib=0, live_tasks_max=live_tasks_max)
    store = EmbeddedStore(settings, on_fatal=fatal.append)
    await store.start()
    yield store
    await store.stop()
    assert not fatal


async def running(store: EmbeddedStore, count: int) -> list[Task]:
    await store.add([TaskDraft("f", b"{}", 0) for _ in range(count)])
    return await store.claim(count)


async def failed_by_events(store: EmbeddedStore) -> list[str]:
    """The ids of the tasks that events say have failed."""
    page = await store.find_events(parse("type=task_failed&limit(100)"))
    return [json.loads(event.content or b"")["id"] for event in page.rows]


async def repaired(store: EmbeddedStore) -> list[str]:
    """The ids of the tasks that tasks were made for."""
    page = await store.find(parse("functionName=repair&limit(100)"))
    return [json.loads(task.data)["event"]["content"]["id"] for task in page.rows]


async def test_at_the_limit_of_live_tasks_a_failure_is_told_of_when_others_have_ended(tmp_path: Path) -> None:
    async with opened(tmp_path, live_tasks_max=3) as store:
        await store.add_dispatcher(REPAIR)
        tasks = await running(store, 3)
        ended = await store.settle([Failed(task.id, ERROR) for task in tasks[:1]])
        assert [task.status for task in ended if task] == [Status.FAILED]
        assert await failed_by_events(store) == []
        await store.add([TaskDraft("f", b"{}", 0)])
        with pytest.raises(ContractError) as refused:
            await store.publish_owed(9)
        assert refused.value.kind is TOO_MANY_REQUESTS
        await store.compact()
    async with opened(tmp_path, live_tasks_max=3) as store:  # those that ran are zombies now
        assert len(await store.reap(9)) == 2
        await store.compact()
        while await store.publish_owed(9):
            pass
        ids = {task.id for task in tasks}
        assert set(await failed_by_events(store)) == ids == set(await repaired(store))
        assert len(await failed_by_events(store)) == len(await repaired(store)) == 3
    async with opened(tmp_path) as store:
        assert await store.publish_owed(9) == 0


async def test_on_a_full_disk_failures_settle_and_are_told_of_once_there_is_room(small_disk: Path) -> None:
    async with opened(small_disk) as store:
        await store.add_dispatcher(REPAIR)
        tasks = await running(store, 60)
        service = OwedEvents(store)
        filler = fill(small_disk)
        with pytest.raises(StoreUnavailableError):
            await asyncio.gather(*(store.add([TaskDraft("f", b"x" * 10_000, 0)]) for _ in range(100)))
        outcomes = [Failed(task.id, ERROR) if number % 2 else Completed(task.id) for number, task in enumerate(tasks)]
        async with asyncio.timeout(3):
            await store.settle(outcomes)
        with pytest.raises(StoreUnavailableError):
            await store.publish(EventDraft("order"))
        filler.unlink()
        told = asyncio.Event()
        store.on_published(lambda _: told.set())
        await service.start()
        async with asyncio.timeout(15):
            while await trouble(store) is not None or not told.is_set():
                await asyncio.sleep(0.05)
        await service.stop()
        failed = {task.id for task in tasks[1::2]}
        assert sorted(await failed_by_events(store)) == sorted(failed) == sorted(await repaired(store))


async def test_failures_that_make_too_much_for_one_step_are_told_of_in_several(tmp_path: Path) -> None:
    data = b'{"a":"%b"}' % (b"x" * 60_000)
    actions = tuple(Action("", ActionType.TASK, function_name="repair", data=data) for _ in range(20))
    async with opened(tmp_path, live_tasks_max=100_000) as store:
        await store.add_dispatcher(DispatcherDraft("task_failed", actions))
        tasks = await running(store, 40)
        await store.settle([Failed(task.id, ERROR) for task in tasks])
        assert await failed_by_events(store) == []
        steps = 0
        while await store.publish_owed(100):
            steps += 1
        assert steps > 1
        assert await failed_by_events(store) == [task.id for task in tasks]
        assert (await store.find(parse("functionName=repair&limit(1)"))).total == 40 * 20
