"""What every store must do with schedules: keep them, find them, and fire each occurrence once."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest
from support.clocks import FakeClock

from taskd.model import limits
from taskd.model.errors import ILLEGAL_STATE, RESOURCE_UNKNOWN, ContractError
from taskd.model.schedule import Schedule, ScheduleDraft
from taskd.model.status import Status
from taskd.rql.errors import RqlError
from taskd.rql.parser import parse
from taskd.store.base import Change, TaskStore

OpenStore = Callable[[], Awaitable[TaskStore]]


def draft(clock: FakeClock, *, delay_ms: int = 0, interval_ms: int = 1000, priority: int = 0) -> ScheduleDraft:
    data = b'{"ward": {"beds": [1, 2]}}'
    return ScheduleDraft("f", data, interval_ms, clock() + delay_ms, priority, "u" * 24, "a" * 24)


async def found(store: TaskStore, rql: str = "") -> list[Schedule]:
    return (await store.find_schedules(parse(rql))).rows


async def test_an_added_schedule_is_there_with_all_it_was_given(store: TaskStore, clock: FakeClock) -> None:
    given = draft(clock, delay_ms=5, interval_ms=1500, priority=-3)
    schedule = await store.add_schedule(given)
    assert all(getattr(schedule, name) == getattr(given, name) for name in ScheduleDraft.__struct_fields__)
    assert (schedule.next_ms, schedule.creation_ms, schedule.update_ms) == (given.start_ms, clock(), clock())
    assert await found(store) == [schedule]


async def test_a_due_schedule_makes_a_task_at_its_time_and_moves_on(store: TaskStore, clock: FakeClock) -> None:
    schedule = await store.add_schedule(draft(clock, delay_ms=10, priority=7))
    assert store.next_fire_ms() == schedule.next_ms
    assert (await store.fire(10)).occurrences == []
    clock.advance(10)
    [occurrence] = (await store.fire(10)).occurrences
    task = occurrence.task
    assert (task.start_ms, task.status, task.schedule_id) == (schedule.start_ms, Status.NEW, schedule.id)
    assert (task.function_name, task.data, task.priority) == ("f", schedule.data, 7)
    assert (task.created_by_user_id, task.created_by_application_id) == ("u" * 24, "a" * 24)
    assert occurrence.skipped == 0
    [moved] = await found(store)
    assert (moved.next_ms, moved.update_ms, moved.start_ms) == (clock() + 1000, clock(), schedule.start_ms)
    assert [claimed.id for claimed in await store.claim(5)] == [task.id]
    assert store.next_fire_ms() == moved.next_ms


async def test_occurrences_stay_on_the_grid_however_late_each_is_fired(store: TaskStore, clock: FakeClock) -> None:
    schedule = await store.add_schedule(draft(clock))
    starts = []
    for late_ms in (0, 990, 20, 999, 1):
        clock.now_ms = (store.next_fire_ms() or 0) + late_ms
        starts += [occurrence.task.start_ms for occurrence in (await store.fire(10)).occurrences]
    assert starts == [schedule.start_ms + n * 1000 for n in range(5)]


async def test_missed_occurrences_collapse_into_one_task(open_store: OpenStore, clock: FakeClock) -> None:
    store = await open_store()
    schedule = await store.add_schedule(draft(clock))
    clock.advance(3_600_500)
    store = await open_store()
    [occurrence] = (await store.fire(10)).occurrences
    assert (occurrence.task.start_ms, occurrence.skipped) == (schedule.start_ms, 3600)
    assert (await store.fire(10)).occurrences == []
    assert store.next_fire_ms() == schedule.start_ms + 3_601_000


async def test_a_clock_set_back_makes_no_occurrence_twice(store: TaskStore, clock: FakeClock) -> None:
    schedule = await store.add_schedule(draft(clock))
    assert len((await store.fire(10)).occurrences) == 1
    clock.advance(-86_400_000)
    assert (await store.fire(10)).occurrences == []
    clock.now_ms = schedule.start_ms + 999
    assert (await store.fire(10)).occurrences == []
    clock.advance(1)
    assert len((await store.fire(10)).occurrences) == 1


async def test_fired_at_once_by_many_each_occurrence_is_made_once(store: TaskStore, clock: FakeClock) -> None:
    schedules = [await store.add_schedule(draft(clock)) for _ in range(5)]
    steps = await asyncio.gather(*(store.fire(2) for _ in range(8)))
    made = [occurrence.task.schedule_id for step in steps for occurrence in step.occurrences]
    assert sorted(str(schedule_id) for schedule_id in made) == sorted(schedule.id for schedule in schedules)
    assert all(len(step.occurrences) <= 2 for step in steps)


async def test_the_most_overdue_schedules_are_fired_first(store: TaskStore, clock: FakeClock) -> None:
    for delay_ms in (30, 10, 20):
        await store.add_schedule(draft(clock, delay_ms=delay_ms, interval_ms=60_000))
    clock.advance(100)
    fired = (await store.fire(2)).occurrences
    assert [clock() - occurrence.task.start_ms for occurrence in fired] == [90, 80]


async def test_a_removed_schedule_fires_no_more_and_its_tasks_stay(open_store: OpenStore, clock: FakeClock) -> None:
    store = await open_store()
    gone, kept = [await store.add_schedule(draft(clock)) for _ in range(2)]
    await store.fire(10)
    await store.remove_schedule(gone.id)
    with pytest.raises(ContractError, match=gone.id) as raised:
        await store.remove_schedule(gone.id)
    assert raised.value.kind is RESOURCE_UNKNOWN
    clock.advance(1000)
    store = await open_store()
    assert [schedule.id for schedule in await found(store)] == [kept.id]
    assert [occurrence.task.schedule_id for occurrence in (await store.fire(10)).occurrences] == [kept.id]
    assert (await store.find(parse(f"scheduleId={gone.id}"))).total == 1


async def test_removing_and_firing_at_once_never_brings_a_schedule_back(store: TaskStore, clock: FakeClock) -> None:
    for _ in range(10):
        schedule = await store.add_schedule(draft(clock))
        calls = (store.fire(5), store.remove_schedule(schedule.id), store.fire(5), store.remove_schedule(schedule.id))
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(results[3], ContractError)
        assert await found(store) == []


async def test_a_caller_that_gives_up_leaves_a_whole_change_behind(store: TaskStore, clock: FakeClock) -> None:
    adding = asyncio.create_task(store.add_schedule(draft(clock)))
    await asyncio.sleep(0)
    adding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await adding
    await store.fire(5)  # waits its turn
    [schedule] = await found(store)
    removing = asyncio.create_task(store.remove_schedule(schedule.id))
    await asyncio.sleep(0)
    removing.cancel()
    await asyncio.gather(removing, return_exceptions=True)
    with pytest.raises(ContractError):
        await store.remove_schedule(schedule.id)


async def test_schedules_come_back_as_they_were_after_a_restart(open_store: OpenStore, clock: FakeClock) -> None:
    store = await open_store()
    for delay_ms in range(3):
        await store.add_schedule(draft(clock, delay_ms=delay_ms * 100))
    clock.advance(150)
    await store.fire(10)
    before = await found(store)
    store = await open_store()
    assert await found(store) == before
    assert (await store.fire(10)).occurrences == []


async def test_there_may_be_only_so_many(store: TaskStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SCHEDULES_MAX", 3)
    results = await asyncio.gather(*(store.add_schedule(draft(clock)) for _ in range(5)), return_exceptions=True)
    refused = [result for result in results if isinstance(result, ContractError)]
    assert [error.kind for error in refused] == [ILLEGAL_STATE] * 2
    assert len(await found(store)) == 3


async def test_somebody_who_waits_is_told_of_a_new_schedule(store: TaskStore, clock: FakeClock) -> None:
    told = asyncio.Event()
    store.on_change(Change.SCHEDULES, told.set)
    assert store.next_fire_ms() is None
    await store.add_schedule(draft(clock))
    await asyncio.wait_for(told.wait(), 10)


@pytest.mark.parametrize(
    ("rql", "places"),
    [
        ("", [0, 1, 2, 3]),
        ("interval=1.5", [1]),
        ("interval>1&interval<2.5", [1, 2]),
        ("functionName=f&priority=2", [2]),
        ("data.ward.beds=2", [0, 1, 2, 3]),
        ("data.ward.beds=3", []),
        ("nextTimestamp>2023-11-14T22:13:20.000Z", [1, 2, 3]),
        ("sort(-priority)&limit(2,1)", [2, 1]),
        ("sort(-interval)", [3, 2, 1, 0]),
        ("contains(createdByUserId)&like(functionName,F)", [0, 1, 2, 3]),
        ("unknown=1", []),
    ],
)
async def test_schedules_are_found_like_anything_else(
    store: TaskStore, clock: FakeClock, rql: str, places: list[int]
) -> None:
    made = [
        await store.add_schedule(draft(clock, delay_ms=n, interval_ms=1000 + n * 500, priority=n)) for n in range(4)
    ]
    assert await found(store, rql) == [made[place] for place in places]


async def test_pages_of_schedules_are_counted_unless_the_query_says_not(store: TaskStore, clock: FakeClock) -> None:
    made = [await store.add_schedule(draft(clock)) for _ in range(5)]
    page = await store.find_schedules(parse("limit(2,3)"))
    assert (page.rows, page.total) == (made[3:], 5)
    assert (await store.find_schedules(parse("skipCount()"))).total is None
    with pytest.raises(RqlError):
        await store.find_schedules(parse("startTimestamp=soon"))


async def test_a_caller_who_has_as_many_as_may_be_leaves_some_to_others(
    store: TaskStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SCHEDULES_MAX", 4)
    first, *_ = [await store.add_schedule(draft(clock)) for _ in range(4)]
    others = msgspec.structs.replace(draft(clock), created_by_user_id="v" * 24)
    await store.add_schedule(others)
    for refused in (draft(clock), others):
        with pytest.raises(ContractError) as raised:
            await store.add_schedule(refused)
        assert raised.value.kind is ILLEGAL_STATE
    await store.remove_schedule(first.id)
    await store.add_schedule(others)
