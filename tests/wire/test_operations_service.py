"""The service that works through operations: on one node, on two, in a daemon that dies; never in the way of others."""

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from support.clocks import FakeClock
from support.daemon.process import api_of, running_daemon
from support.store.memory_store import MemoryStore, SharedRecords

from taskd.maintenance.operations import Operations
from taskd.model.operation import Operation, OperationAction, OperationDraft
from taskd.model.task import TaskDraft
from taskd.rql.parser import parse, parse_filter
from taskd.store.base import Change, Completed, TaskStore
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore

pytestmark = pytest.mark.slow

MANY = 20_000
WITHIN_S = 60


async def operate(store: TaskStore, action: OperationAction, rql: str, rate_per_s: float | None = None) -> Operation:
    where = parse_filter(rql)
    assert where is not None
    return await store.add_operation(OperationDraft(action, rql, rate_per_s), where)


async def until(condition: Callable[[], bool], advanced: asyncio.Event) -> None:
    """Returns when ``condition`` holds, which is looked at whenever ``advanced`` is set."""
    async with asyncio.timeout(WITHIN_S):
        while not condition():
            advanced.clear()
            await advanced.wait()


class WatchedStore(EmbeddedStore):
    """Says when operations have moved on."""

    def __init__(self, directory: Path, clock: FakeClock | None = None) -> None:
        super().__init__(StoreSettings(data=str(directory)), *(() if clock is None else (clock,)))
        self.advanced = asyncio.Event()

    async def advance_operations(self, *args: Any, **kwargs: Any) -> list[Operation]:
        advanced = await super().advance_operations(*args, **kwargs)
        self.advanced.set()
        return advanced

    def running(self) -> bool:
        return self.next_operation_ms() is not None


async def test_many_thousands_are_worked_through_and_others_go_first(tmp_path: Path) -> None:
    store = WatchedStore(tmp_path)
    await store.start()
    service = Operations(store)
    await service.start()
    for _ in range(MANY // 1_000):
        await store.add([TaskDraft("f", b"{}", store.now_ms() + 3_600_000) for _ in range(1_000)])
    operation = await operate(store, OperationAction.CANCEL, "functionName=f")
    assert operation.matched == MANY
    [task] = await store.add([TaskDraft("g", b"{}", 0)])
    assert [each.id for each in await store.claim(10)] == [task.id]
    assert store.running(), "that came before the end of the operation"
    await until(lambda: not store.running(), store.advanced)
    assert (await store.operation(operation.id)).done == MANY
    assert (await store.find(parse("status=canceled&limit(1)"))).total == MANY
    replayed = await operate(store, OperationAction.REPLAY, "status=canceled")
    await until(lambda: not store.running(), store.advanced)
    assert (await store.operation(replayed.id)).done == MANY
    assert (await store.status()).due == MANY
    await service.stop()
    await store.stop()


async def test_an_operation_with_a_rate_goes_on_as_its_time_comes(tmp_path: Path) -> None:
    clock = FakeClock()
    store = WatchedStore(tmp_path, clock)
    await store.start()
    await store.add([TaskDraft("f", b"{}", 0) for _ in range(3)])
    operation = await operate(store, OperationAction.CANCEL, "status=new", rate_per_s=1)
    service = Operations(store)
    await service.start()
    for done in (1, 2, 3):
        async with asyncio.timeout(WITHIN_S):
            await store.advanced.wait()
        assert (await store.operation(operation.id)).done == done
        store.advanced.clear()
        clock.advance(1_000)
        store._tell(Change.OPERATIONS)
    await service.stop()
    await store.stop()


async def test_of_two_nodes_one_dies_and_the_other_goes_on_and_each_task_has_one_replay() -> None:
    clock = FakeClock()
    shared = SharedRecords(clock)
    first, second = MemoryStore(shared, "first"), MemoryStore(shared, "second")
    await first.start()
    await second.start()
    olds = await first.add([TaskDraft("f", b"{}", 0) for _ in range(1_000)])
    await first.settle([Completed(task.id) for task in await first.claim(1_000)])
    operation = await operate(first, OperationAction.REPLAY, "status=complete")
    await asyncio.gather(*(node.advance_operations(7) for node in (first, second) for _ in range(20)))
    assert (await second.operation(operation.id)).done == 280
    dying = asyncio.create_task(first.advance_operations(7))
    first.die()
    await asyncio.wait([dying])
    assert dying.exception() is not None
    service = Operations(second)
    await service.start()
    async with asyncio.timeout(WITHIN_S):
        while second.next_operation_ms() is not None:
            clock.advance(1)
            second.told(Change.OPERATIONS)
            await asyncio.sleep(0)
    await service.stop()
    assert (await second.operation(operation.id)).done == 1_000
    replays = [task.extras.replay_of_task_id for task in shared.tasks.values() if task.extras]
    assert Counter(filter(None, replays)) == Counter(task.id for task in olds)
    await second.stop()


async def test_a_store_that_is_out_of_reach_is_tried_again() -> None:
    shared = SharedRecords(FakeClock())
    store = MemoryStore(shared)
    await store.start()
    await store.add([TaskDraft("f", b"{}", 0)])
    await operate(store, OperationAction.CANCEL, "status=new")
    store.die()
    fatal: list[BaseException] = []
    service = Operations(store, on_fatal=fatal.append)
    assert await service._step() == shared.clock() + 1_000
    assert not fatal


async def test_a_daemon_that_is_killed_in_the_middle_goes_on_and_replays_each_once(tmp_path: Path) -> None:
    async with running_daemon(tmp_path) as daemon, api_of(daemon) as api:
        tasks = [{"functionName": "absent", "startTimestamp": "2999-01-01T00:00:00.000Z"}] * 3_000
        ids = (await api.call("POST", "/bulk", tasks))["ids"]
        await done(daemon.url, {"action": "cancel", "rql": "status=new"})
        async with ClientSession(daemon.url) as session:
            body = {"action": "replay", "rql": "status=canceled", "startTimestamp": "2999-01-01T00:00:00.000Z"}
            async with session.post("/taskd/v1/operations", json=body) as response:
                operation = await response.json()
            while not 0 < (await shown(session, operation))["done"] < len(ids):
                await asyncio.sleep(0)
        await daemon.kill()
        await daemon.start()
        async with ClientSession(daemon.url) as session, asyncio.timeout(WITHIN_S):
            while (ended := await shown(session, operation))["status"] == "running":
                await asyncio.sleep(0.02)
        assert (ended["status"], ended["done"], ended["skipped"]) == ("done", len(ids), 0)
        found = await api.all_tasks()
        assert await daemon.stop() == 0
    assert Counter(task["replayOfTaskId"] for task in found if task["status"] == "new") == Counter(ids)
    olds = {task["id"]: task.get("replayedByTaskId") for task in found if task["status"] == "canceled"}
    assert olds == {task["replayOfTaskId"]: task["id"] for task in found if task["status"] == "new"}


async def shown(session: ClientSession, operation: dict[str, Any]) -> dict[str, Any]:
    async with session.get(f"/taskd/v1/operations/{operation['id']}") as response:
        return dict(await response.json())


async def done(url: str, body: dict[str, Any]) -> None:
    async with ClientSession(url) as session, asyncio.timeout(WITHIN_S):
        async with session.post("/taskd/v1/operations", json=body) as response:
            operation = await response.json()
        while (await shown(session, operation))["status"] == "running":
            await asyncio.sleep(0.02)
