"""Whatever a filter finds is erased, whatever it is: held to by every store."""

from typing import Any

import pytest
from support.clocks import FakeClock

from taskd.maintenance.erasure import refuse_running, remove_schedules
from taskd.model.errors import ILLEGAL_STATE, ContractError
from taskd.model.operation import OperationAction, OperationDraft
from taskd.model.schedule import ScheduleDraft
from taskd.model.task import TaskDraft
from taskd.rql.parser import parse
from taskd.rql.query import Node
from taskd.store.base import Completed, TaskStore

HERS, HIS = b'{"patientId":"ada"}', b'{"patientId":"bob"}'
BY_PATIENT = "data.patientId=ada"


def filter_of(text: str) -> Node:
    where = parse(text).where
    assert where is not None
    return where


async def erase(store: TaskStore, where: Node) -> tuple[int, int]:
    """As the API has it done; how many tasks and how many schedules went."""
    await refuse_running(store, where)
    schedules = await remove_schedules(store, where)
    operation = await store.add_operation(OperationDraft(OperationAction.ERASE, "the filter"), where)
    while (operation := await store.operation(operation.id)).is_running:
        await store.advance_operations(100)
    return operation.done, schedules


async def ended(store: TaskStore, data: bytes, count: int = 1) -> None:
    await store.add([TaskDraft("f", data, 0) for _ in range(count)])
    while claimed := await store.claim(5_000):
        await store.settle([Completed(task.id) for task in claimed])


async def left(store: TaskStore) -> list[bytes]:
    return [task.data for task in (await store.find(parse("sort(id)&limit(50)"))).rows]


async def scheduled(store: TaskStore, data: bytes, clock: FakeClock, **more: Any) -> None:
    await store.add_schedule(ScheduleDraft("f", data, 1_000, clock() + 5_000, **more))


async def test_what_has_ended_and_what_waits_is_erased_and_no_more_of_it_is_made(
    store: TaskStore, clock: FakeClock
) -> None:
    await ended(store, HERS)
    await ended(store, HIS)
    await store.add([TaskDraft("f", data, clock() + 60_000) for data in (HERS, HIS)])
    for data in (HERS, HIS):
        await scheduled(store, data, clock)
    assert await erase(store, filter_of(BY_PATIENT)) == (2, 1)
    assert await left(store) == [HIS, HIS]
    assert [schedule.data for schedule in (await store.find_schedules(parse(""))).rows] == [HIS]
    clock.advance(60_000)
    assert [task.data for task in await store.claim(9)] == [HIS]


async def test_more_than_one_step_of_them(store: TaskStore) -> None:
    await ended(store, HERS, 210)
    await ended(store, HIS)
    assert (await erase(store, filter_of(BY_PATIENT)))[0] == 210
    assert await left(store) == [HIS]


async def test_while_one_runs_nothing_is_erased(store: TaskStore, clock: FakeClock) -> None:
    await ended(store, HERS)
    await scheduled(store, HERS, clock)
    running = await store.add_started(TaskDraft("f", HERS, 0))
    with pytest.raises(ContractError, match=running.id) as caught:
        await erase(store, filter_of(BY_PATIENT))
    assert caught.value.kind is ILLEGAL_STATE
    assert await left(store) == [HERS, HERS]
    assert (await store.find_schedules(parse(""))).total == 1
    await store.settle([Completed(running.id)])
    assert (await erase(store, filter_of(BY_PATIENT)))[0] == 2


@pytest.mark.parametrize(
    ("text", "goes"),
    [
        ("data.patientId=ada&functionName=f", True),
        ("or(data.patientId=ada,contains(data.nothing))", True),
        ("contains(data,eq(patientId,ada))", True),
        ("functionName=f", False),
        ("data.patientId=ada&status=complete", False),
        ("ne(status,new)", False),
    ],
)
async def test_schedules_go_where_the_filter_is_about_their_data(
    store: TaskStore, clock: FakeClock, text: str, goes: bool
) -> None:
    await scheduled(store, HERS, clock)
    await erase(store, filter_of(text))
    assert (await store.find_schedules(parse(""))).total == (not goes)


async def test_nothing_that_matches_is_no_mistake(store: TaskStore) -> None:
    assert await erase(store, filter_of(BY_PATIENT)) == (0, 0)
