"""Data of every size is what it was when the task was created, whatever has become of the task meanwhile."""

import asyncio

import pytest
from conformance.conftest import OpenStore
from msgspec.structs import replace
from support.clocks import FakeClock

from taskd.model.function import Function, RetryPolicy
from taskd.model.idempotency import IdempotencyKey
from taskd.model.status import Status
from taskd.model.task import ErrorType, TaskDraft, TaskError
from taskd.rql.parser import parse
from taskd.store.base import Completed, Failed, Requeued, Retried, TaskStore

ERROR = TaskError(ErrorType.RUNTIME, "E", "m")
FUNCTION = Function("f", "index.handler", "python3.11", 0, "v", retry_policy=RetryPolicy(enabled=True))


def data_of(size_bytes: int) -> bytes:
    return b'{"a":"%b"}' % (b"x" * (size_bytes - 8))


@pytest.fixture(params=[100, 1024, 1025, 300_000, 5_000_000], ids=lambda size_bytes: f"{size_bytes} bytes")
def data(request: pytest.FixtureRequest) -> bytes:
    return data_of(request.param)


@pytest.mark.parametrize("catalogue_has_it", [True, False], ids=["written down", "fresh"])
async def test_a_task_starts_with_its_data(
    store: TaskStore, clock: FakeClock, data: bytes, catalogue_has_it: bool
) -> None:
    [added] = await store.add([TaskDraft("f", data, clock())])
    assert added.data == data
    if catalogue_has_it:
        assert [task.data for task in (await store.find(parse(""))).rows] == [data]
    [claimed] = await store.claim(1)
    assert (claimed.id, claimed.data, claimed.status) == (added.id, data, Status.IN_PROGRESS)
    [ended] = await store.settle([Completed(added.id)])
    assert ended is not None
    assert ended.data == data
    assert (await store.get(added.id)).data == data


async def test_it_starts_with_its_data_after_a_restart(open_store: OpenStore, clock: FakeClock, data: bytes) -> None:
    await (await open_store()).add([TaskDraft("f", data, clock())])
    store = await open_store()
    assert [task.data for task in await store.claim(1)] == [data]


async def test_waiting_tasks_are_seen_with_their_data(open_store: OpenStore, clock: FakeClock, data: bytes) -> None:
    store = await open_store()
    [added] = await store.add([TaskDraft("f", data, clock() + 1)])
    assert (await store.get(added.id)).data == data
    store = await open_store()
    assert (await store.get(added.id)) == added
    assert [task.data for task in (await store.find(parse("status=new"))).rows] == [data]


async def test_a_requeued_task_starts_with_its_data_again(store: TaskStore, clock: FakeClock, data: bytes) -> None:
    [added] = await store.add([TaskDraft("f", data, clock())])
    for _ in range(2):
        assert [task.data for task in await store.claim(1)] == [data]
        [requeued] = await store.settle([Requeued(added.id, clock())])
        assert requeued is not None
        assert requeued.status is Status.NEW
    assert [task.data for task in await store.claim(1)] == [data]


async def test_the_successor_has_the_data(store: TaskStore, clock: FakeClock, data: bytes) -> None:
    [added] = await store.add([TaskDraft("f", data, clock())])
    [claimed] = await store.claim(1)
    await store.settle(
        [Retried(added.id, ERROR, TaskDraft("f", claimed.data, clock(), retry_for_task_ids=(added.id,)))]
    )
    assert [task.data for task in await store.claim(1)] == [data]


async def test_the_successor_of_a_task_whose_node_died_has_the_data(
    open_store: OpenStore, clock: FakeClock, data: bytes
) -> None:
    store = await open_store()
    await store.put_function(FUNCTION, None)
    await store.add([TaskDraft("f", data, clock())])
    [claimed] = await store.claim(1)
    store = await open_store()
    clock.advance(60_000)
    [reaped] = await store.reap(10)
    assert (reaped.id, reaped.data, reaped.status) == (claimed.id, data, Status.RETRIED)
    clock.advance(60_000)
    assert [task.data for task in await store.claim(1)] == [data]


async def test_a_cancelled_task_keeps_its_data(store: TaskStore, clock: FakeClock, data: bytes) -> None:
    [added] = await store.add([TaskDraft("f", data, clock())])
    assert (await store.cancel(added.id)).data == data
    assert (await store.get(added.id)).data == data
    assert await store.claim(1) == []


async def test_who_waits_for_the_end_is_given_the_data(store: TaskStore, clock: FakeClock, data: bytes) -> None:
    [added] = await store.add([TaskDraft("f", data, clock())])
    waiting = asyncio.create_task(store.ended(added.id))
    await asyncio.sleep(0)
    await store.cancel(added.id)
    assert (await waiting).data == data


async def test_a_direct_execution_has_its_data(store: TaskStore, clock: FakeClock, data: bytes) -> None:
    started = await store.add_started(TaskDraft("f", data, clock(), direct=True))
    assert started.data == data
    assert (await store.get(started.id)).data == data
    [failed] = await store.settle([Failed(started.id, ERROR)])
    assert failed is not None
    assert failed.data == data


async def test_a_key_that_is_used_again_gives_the_data(store: TaskStore, clock: FakeClock, data: bytes) -> None:
    key = IdempotencyKey(b"key", b"request")
    [first] = await store.add([TaskDraft("f", data, clock())], key)
    [again] = await store.add([TaskDraft("f", data, clock())], key)
    assert replace(again, direct=first.direct) == first


async def test_tasks_with_and_without_much_data_start_in_their_order(store: TaskStore, clock: FakeClock) -> None:
    sizes = [100, 200_000, 2_000, 50, 3_000_000, 1_024, 1_025]
    await store.add([TaskDraft("f", data_of(size), clock(), -place) for place, size in enumerate(sizes)])
    claimed = [task for limit in (2, 3, 10) for task in await store.claim(limit)]
    assert [len(task.data) for task in claimed] == sizes


async def test_a_large_task_is_claimed_or_cancelled_but_never_both(store: TaskStore, clock: FakeClock) -> None:
    tasks = await store.add([TaskDraft("f", data_of(20_000), clock()) for _ in range(20)])
    await store.find(parse(""))
    operations = [coroutine for task in tasks for coroutine in (store.claim(1), store.cancel(task.id))]
    results = await asyncio.gather(*operations, return_exceptions=True)
    claimed = {task.id for result in results if isinstance(result, list) for task in result}
    statuses = {task.id: (await store.get(task.id)).status for task in tasks}
    assert claimed == {task_id for task_id, status in statuses.items() if status is Status.IN_PROGRESS}
    assert set(statuses.values()) <= {Status.IN_PROGRESS, Status.CANCELED, Status.NEW}
