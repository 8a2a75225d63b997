"""Paused schedules, on every store: by a call, and by an objection when they are due."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from support.clocks import FakeClock

from taskd.model import recurrence
from taskd.model import schedule as rules
from taskd.model.errors import RESOURCE_UNKNOWN, ContractError
from taskd.model.schedule import Schedule, ScheduleDraft
from taskd.rql.parser import parse
from taskd.store.base import Change, TaskStore

OpenStore = Callable[[], Awaitable[TaskStore]]
INTERVAL_MS = 1_000


async def add(store: TaskStore, function_name: str = "f") -> Schedule:
    return await store.add_schedule(ScheduleDraft(function_name, b"{}", INTERVAL_MS, store.now_ms()))


async def pause(store: TaskStore, schedule: Schedule, reason: str | None = None) -> Schedule:
    return await store.change_schedule(schedule.id, lambda kept: rules.pause(kept, store.now_ms(), reason))


async def resume(store: TaskStore, schedule: Schedule) -> Schedule:
    return await store.change_schedule(schedule.id, lambda kept: recurrence.resume(kept, store.now_ms()))


async def starts(store: TaskStore) -> list[int]:
    return [occurrence.task.start_ms for occurrence in (await store.fire(10)).occurrences]


async def test_a_paused_schedule_makes_nothing_and_waits_for_nobody(open_store: OpenStore, clock: FakeClock) -> None:
    store = await open_store()
    schedule = await add(store)
    paused = await pause(store, schedule, "maintenance")
    assert (paused.paused, paused.pause_reason, paused.update_ms) == (True, "maintenance", clock())
    clock.advance(10 * INTERVAL_MS)
    store = await open_store()
    assert await starts(store) == []
    assert store.next_fire_ms() is None
    assert await store.schedule(schedule.id) == paused


async def test_a_resumed_schedule_goes_on_at_its_next_time_on_the_grid(store: TaskStore, clock: FakeClock) -> None:
    schedule = await add(store)
    await pause(store, schedule)
    clock.advance(3 * INTERVAL_MS + 1)
    resumed = await resume(store, schedule)
    assert (resumed.paused, resumed.pause_reason) == (False, None)
    assert resumed.next_ms == schedule.start_ms + 4 * INTERVAL_MS
    assert await starts(store) == []
    clock.now_ms = resumed.next_ms
    assert await starts(store) == [resumed.next_ms]


async def test_a_schedule_that_is_resumed_at_a_time_of_its_grid_makes_that_occurrence_once(
    store: TaskStore, clock: FakeClock
) -> None:
    schedule = await add(store)
    assert await starts(store) == [schedule.start_ms]
    await pause(store, schedule)
    clock.advance(2 * INTERVAL_MS)
    await resume(store, schedule)
    assert await starts(store) == [clock()]
    await pause(store, schedule)
    await resume(store, schedule)
    assert await starts(store) == []


async def test_resuming_what_is_not_paused_changes_nothing(store: TaskStore, clock: FakeClock) -> None:
    schedule = await add(store)
    clock.advance(5)
    assert await resume(store, schedule) == schedule


async def test_an_objection_pauses_what_is_due_in_the_same_step(open_store: OpenStore, clock: FakeClock) -> None:
    store = await open_store()
    first, second, third = [await add(store, name) for name in ("f", "g", "f")]
    later = await store.add_schedule(ScheduleDraft("g", b"{}", INTERVAL_MS, clock() + 1))
    fired = await store.fire(10, lambda schedule: "gone" if schedule.function_name == "g" else None)
    assert [occurrence.task.schedule_id for occurrence in fired.occurrences] == [first.id, third.id]
    assert fired.paused == [rules.pause(second, clock(), "gone")]
    store = await open_store()
    assert (await store.find_schedules(parse("paused=true"))).rows == fired.paused
    assert not (await store.schedule(later.id)).paused


async def test_a_change_that_is_refused_changes_nothing(store: TaskStore) -> None:
    schedule = await add(store)

    def refuse(kept: Schedule) -> Schedule:
        raise ValueError(kept.id)

    with pytest.raises(ValueError, match=schedule.id):
        await store.change_schedule(schedule.id, refuse)
    assert await store.schedule(schedule.id) == schedule


async def test_a_schedule_that_is_not_there_cannot_be_looked_at_or_changed(store: TaskStore) -> None:
    for attempt in (store.schedule("0" * 24), store.change_schedule("0" * 24, lambda kept: kept)):
        with pytest.raises(ContractError) as raised:
            await attempt
        assert raised.value.kind is RESOURCE_UNKNOWN


async def test_changes_and_firing_at_once_follow_one_another(store: TaskStore, clock: FakeClock) -> None:
    schedule = await add(store)
    for _ in range(20):
        clock.advance(INTERVAL_MS)
        steps = (pause(store, schedule), store.fire(5), resume(store, schedule), store.fire(5), store.fire(5))
        await asyncio.gather(*steps)
    made = [task.start_ms for task in (await store.find(parse("limit(100)"))).rows]
    assert len(set(made)) == len(made)
    assert all((start_ms - schedule.start_ms) % INTERVAL_MS == 0 for start_ms in made)


async def test_somebody_who_waits_is_told_of_a_change(store: TaskStore) -> None:
    schedule = await add(store)
    told = asyncio.Event()
    await asyncio.sleep(0)
    store.on_change(Change.SCHEDULES, told.set)
    told.clear()
    await pause(store, schedule)
    await asyncio.wait_for(told.wait(), 10)


@pytest.mark.parametrize(
    ("rql", "places"),
    [
        ("paused=true", [1]),
        ("paused!=true", [0, 2]),
        ("pauseReason=true", [1]),
        ("like(pauseReason,TRU)", [1]),
        ("contains(nextTimestamp)", [0, 2]),
        ("nextTimestamp!=2001-01-01T00:00:00.000Z", [0, 1, 2]),
        ("nextTimestamp>2001-01-01T00:00:00.000Z", [0, 2]),
    ],
)
async def test_paused_schedules_are_found(store: TaskStore, rql: str, places: list[int]) -> None:
    made = [await add(store) for _ in range(3)]
    await pause(store, made[1], "true")
    found = (await store.find_schedules(parse(rql))).rows
    assert [schedule.id for schedule in found] == [made[place].id for place in places]
