"""The rules by which schedules make tasks, on every store: cron, overlap, catching up, jitter, and their end."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from msgspec.structs import replace
from support.clocks import FakeClock

from taskd.model import recurrence
from taskd.model import schedule as rules
from taskd.model.schedule import Overlap, Schedule, ScheduleDraft
from taskd.model.task import ErrorType, Task, TaskDraft, TaskError
from taskd.rql.parser import parse
from taskd.store.base import Change, Completed, Retried, TaskStore

OpenStore = Callable[[], Awaitable[TaskStore]]
SECOND_MS = 1_000
DAY_MS = 86_400_000


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


async def add(store: TaskStore, **fields: Any) -> Schedule:
    given = {"interval_ms": SECOND_MS, "start_ms": store.now_ms(), **fields}
    return await store.add_schedule(ScheduleDraft("f", b"{}", **given))


async def add_cron(store: TaskStore, cron: str, zone: str, **fields: Any) -> Schedule:
    return await add(store, interval_ms=0, cron=cron, time_zone=zone, **fields)


async def fire_all(store: TaskStore) -> list[Task]:
    """What schedules make now, step after step."""
    made: list[Task] = []
    for _ in range(1000):
        fired = await store.fire(10)
        made += [occurrence.task for occurrence in fired.occurrences]
        if (next_ms := store.next_fire_ms()) is None or next_ms > store.now_ms():
            return made
    raise AssertionError("it does not come to an end")


async def starts(store: TaskStore) -> list[int]:
    return [task.start_ms for task in await fire_all(store)]


async def end_all(store: TaskStore) -> None:
    while running := await store.claim(10):
        await store.settle([Completed(task.id) for task in running])


async def test_a_cron_schedule_makes_its_tasks_when_the_clock_in_its_zone_says_so(
    store: TaskStore, clock: FakeClock
) -> None:
    clock.now_ms = ms("2026-03-27T12:00")
    schedule = await add_cron(store, "0 7 * * 1-5", "Europe/Brussels", tags=("morning",))
    made = []
    for _ in range(3):
        assert await starts(store) == []
        clock.now_ms = store.next_fire_ms() or 0
        made += await fire_all(store)
    assert [task.start_ms for task in made] == [
        ms(f"{day}T05:00") for day in ("2026-03-30", "2026-03-31", "2026-04-01")
    ]
    assert {(task.schedule_id, task.tags) for task in made} == {(schedule.id, ("morning",))}


@pytest.mark.parametrize(
    ("off_from", "off_until", "expected"),
    [
        ("2026-03-29T00:30", "2026-03-29T06:00", ["2026-03-28T01:30", "2026-03-29T01:00", "2026-03-30T00:30"]),
        ("2026-03-28T22:00", "2026-03-29T01:00", ["2026-03-28T01:30", "2026-03-29T01:00", "2026-03-30T00:30"]),
        ("2026-10-25T00:00", "2026-10-25T00:45", ["2026-10-24T00:30", "2026-10-25T00:30", "2026-10-26T01:30"]),
        ("2026-10-25T00:45", "2026-10-25T01:45", ["2026-10-24T00:30", "2026-10-25T00:30", "2026-10-26T01:30"]),
        ("2026-10-24T23:00", "2026-10-25T12:00", ["2026-10-24T00:30", "2026-10-25T00:30", "2026-10-26T01:30"]),
    ],
)
async def test_a_service_that_is_off_while_clocks_are_changed_misses_nothing_and_doubles_nothing(
    open_store: OpenStore, clock: FakeClock, off_from: str, off_until: str, expected: list[str]
) -> None:
    store = await open_store()
    clock.now_ms = ms(expected[0]) - DAY_MS // 2
    await add_cron(store, "30 2 * * *", "Europe/Brussels")
    made: list[int] = []
    minutes = range(clock.now_ms, ms(expected[-1]) + 60_000, 60_000)
    for now_ms in minutes:
        if ms(off_from) <= now_ms < ms(off_until):
            continue
        clock.now_ms = now_ms
        if now_ms == ms(off_until):
            store = await open_store()
        if (store.next_fire_ms() or 0) <= now_ms:
            made += await starts(store)
    assert made == [ms(text) for text in expected]


async def test_a_clock_that_is_set_back_makes_no_time_of_a_cron_schedule_twice(
    store: TaskStore, clock: FakeClock
) -> None:
    clock.now_ms = ms("2026-11-24T12:00")
    await add_cron(store, "*/10 * * * *", "UTC")
    made: list[int] = []
    for step_ms in (0, 600_000, -3_600_000, 1_800_000, 1_200_000, 1_800_000):
        clock.advance(step_ms)
        made += await starts(store)
    assert made == [ms(f"2026-11-24T12:{minute}") for minute in ("00", "10", "20")]


@pytest.mark.parametrize(
    ("catch_up_ms", "expected", "held_back"),
    [(None, [0], 0), (0, [10], 9), (3_000, [8, 9, 10], 7), (3_500, [7, 8, 9, 10], 6), (60_000, [*range(11)][1:], 0)],
)
async def test_what_was_missed_is_made_up_for_as_far_back_as_was_asked(
    store: TaskStore, clock: FakeClock, catch_up_ms: int | None, expected: list[int], held_back: int
) -> None:
    begin_ms = clock()
    schedule = await add(store, catch_up_ms=catch_up_ms, start_ms=begin_ms + (0 if catch_up_ms is None else SECOND_MS))
    clock.advance(10 * SECOND_MS + 400)
    held: list[int] = []
    made: list[int] = []
    while (store.next_fire_ms() or 0) <= clock():
        fired = await store.fire(10)
        made += [occurrence.task.start_ms for occurrence in fired.occurrences]
        stood_for = 0 if catch_up_ms is None else sum(occurrence.skipped for occurrence in fired.occurrences)
        held.append(fired.held_back + stood_for)
    assert [(start_ms - begin_ms) // SECOND_MS for start_ms in made] == expected
    assert sum(held) == held_back
    assert (await store.schedule(schedule.id)).next_ms == begin_ms + 11 * SECOND_MS


async def test_without_catching_up_what_was_missed_long_ago_is_not_made(store: TaskStore, clock: FakeClock) -> None:
    schedule = await add(store, catch_up_ms=0, interval_ms=DAY_MS)
    clock.advance(DAY_MS // 2)
    fired = await store.fire(10)
    assert (fired.occurrences, fired.held_back) == ([], 1)
    assert store.next_fire_ms() == schedule.start_ms + DAY_MS
    clock.now_ms = schedule.start_ms + DAY_MS + 50
    assert await starts(store) == [schedule.start_ms + DAY_MS]


@pytest.mark.parametrize("overlap", list(Overlap))
async def test_what_is_due_while_an_earlier_task_has_not_ended(
    open_store: OpenStore, clock: FakeClock, overlap: Overlap
) -> None:
    store = await open_store()
    begin_ms = clock()
    schedule = await add(store, overlap=overlap)
    made = await starts(store)
    for _ in range(3):
        clock.advance(SECOND_MS)
        store = await open_store()
        made += await starts(store)
    waiting = {Overlap.ALLOW: [0, 1, 2, 3], Overlap.SKIP: [0], Overlap.BUFFER_ONE: [0]}[overlap]
    assert [(start_ms - begin_ms) // SECOND_MS for start_ms in made] == waiting
    clock.advance(300)
    await end_all(store)
    kept = await store.schedule(schedule.id)
    assert kept.buffered_ms == (begin_ms + SECOND_MS if overlap is Overlap.BUFFER_ONE else None)
    assert await starts(store) == ([begin_ms + SECOND_MS] if overlap is Overlap.BUFFER_ONE else [])
    await end_all(store)
    assert await starts(store) == []
    clock.advance(700)
    assert await starts(store) == [begin_ms + 4 * SECOND_MS]


async def test_a_task_that_is_tried_again_has_not_ended(store: TaskStore, clock: FakeClock) -> None:
    await add(store, overlap=Overlap.SKIP)
    [first] = await fire_all(store)
    await store.claim(1)
    successor = TaskDraft("f", b"{}", clock() + 60_000, retry_for_task_ids=(first.id,), schedule_id=first.schedule_id)
    await store.settle([Retried(first.id, TaskError(ErrorType.RUNTIME, "E", ""), successor)])
    clock.advance(SECOND_MS)
    assert await starts(store) == []
    clock.advance(60_000)
    await end_all(store)
    clock.advance(SECOND_MS)
    assert len(await starts(store)) == 1


async def test_somebody_who_waits_is_told_when_a_buffered_occurrence_can_be_made(
    store: TaskStore, clock: FakeClock
) -> None:
    await add(store, overlap=Overlap.BUFFER_ONE)
    await fire_all(store)
    clock.advance(SECOND_MS)
    await fire_all(store)
    assert store.next_fire_ms() == clock() + SECOND_MS
    await end_all(store)
    assert (store.next_fire_ms() or 0) <= clock()


async def test_the_end_of_a_task_wakes_those_who_wait_for_schedules(open_store: OpenStore, clock: FakeClock) -> None:
    store = await open_store()
    if type(store).__name__ == "MemoryStore":
        pytest.skip("a hint may be lost, and this store gives none")
    await add(store, overlap=Overlap.BUFFER_ONE)
    await fire_all(store)
    clock.advance(SECOND_MS)
    await fire_all(store)
    told = asyncio.Event()
    store.on_change(Change.SCHEDULES, told.set)
    await end_all(store)
    await asyncio.wait_for(told.wait(), 10)


async def test_a_schedule_ends_after_so_many_tasks(open_store: OpenStore, clock: FakeClock) -> None:
    store = await open_store()
    schedule = await add(store, remaining=3)
    made = 0
    for _ in range(5):
        made += len(await starts(store))
        clock.advance(SECOND_MS)
        store = await open_store()
    ended = await store.schedule(schedule.id)
    assert (made, ended.remaining, ended.has_ended) == (3, 0, True)
    assert store.next_fire_ms() is None
    again = await store.change_schedule(
        schedule.id, lambda kept: recurrence.changed(kept, replace(kept, remaining=1), clock())
    )
    assert again.next_ms == schedule.start_ms + 6 * SECOND_MS


async def test_a_schedule_ends_at_its_end(store: TaskStore, clock: FakeClock) -> None:
    begin_ms = clock()
    schedule = await add(store, end_ms=begin_ms + 2 * SECOND_MS)
    made = []
    for _ in range(5):
        made += await starts(store)
        clock.advance(SECOND_MS)
    assert made == [begin_ms, begin_ms + SECOND_MS, begin_ms + 2 * SECOND_MS]
    assert (await store.schedule(schedule.id)).has_ended
    assert store.next_fire_ms() is None
    assert (await store.find_schedules(parse("contains(nextTimestamp)"))).rows == []


async def test_jitter_delays_each_task_by_its_own_and_never_past_the_next(store: TaskStore, clock: FakeClock) -> None:
    schedule = await add(store, interval_ms=60_000, jitter_ms=3_600_000)
    made = []
    for _ in range(20):
        clock.now_ms = store.next_fire_ms() or 0
        made += await starts(store)
    offsets = [start_ms - schedule.start_ms - number * 60_000 for number, start_ms in enumerate(made)]
    assert all(0 <= offset < 60_000 for offset in offsets)
    assert len(set(offsets)) > 15
    assert offsets == [recurrence.delay_of(schedule, schedule.start_ms + number * 60_000) for number in range(20)]
    assert all(second > first for first, second in pairwise(made))


async def test_a_paused_schedule_gives_up_what_was_buffered(store: TaskStore, clock: FakeClock) -> None:
    schedule = await add(store, overlap=Overlap.BUFFER_ONE)
    await fire_all(store)
    clock.advance(SECOND_MS)
    await fire_all(store)
    await store.change_schedule(schedule.id, lambda kept: rules.pause(kept, clock(), None))
    await end_all(store)
    assert await starts(store) == []
    assert store.next_fire_ms() is None


async def test_a_schedule_whose_zone_is_no_longer_known_pauses_and_says_so(store: TaskStore, clock: FakeClock) -> None:
    schedule = await add_cron(store, "* * * * *", "UTC")
    await store.change_schedule(schedule.id, lambda kept: replace(kept, time_zone="Mars/Olympus", next_ms=clock()))
    other = await add(store)
    fired = await store.fire(10)
    assert [occurrence.task.schedule_id for occurrence in fired.occurrences] == [other.id]
    [paused] = fired.paused
    assert paused.pause_reason is not None
    assert "Mars/Olympus" in paused.pause_reason


async def test_very_many_cron_schedules_of_one_second_are_fired_once_each(store: TaskStore, clock: FakeClock) -> None:
    clock.now_ms = ms("2026-11-24T11:59")
    made = [await add_cron(store, "0 12 * * *", "Europe/Brussels") for _ in range(50)]
    clock.now_ms = store.next_fire_ms() or 0
    steps = [await store.fire(20) for _ in range(4)]
    fired = [occurrence.task.schedule_id for step in steps for occurrence in step.occurrences]
    assert sorted(str(schedule_id) for schedule_id in fired) == sorted(schedule.id for schedule in made)


@pytest.mark.parametrize(
    ("rql", "places"),
    [
        ("like(cron,MON)", [1]),
        ("timeZone=Europe/Brussels", [1]),
        ("contains(interval)", [0, 2]),
        ("overlap=skip", [0]),
        ("remaining<5", [0]),
        ("remaining=0", []),
        ("tags=b", [2]),
        ("jitterSeconds>1&catchUpSeconds=2.5", [2]),
        ("endTimestamp<2101-01-01T00:00:00.000Z", [2]),
        ("like(note,hello)", [1]),
        ("sort(-cron)&limit(1)", [1]),
    ],
)
async def test_schedules_are_found_by_their_rules(store: TaskStore, rql: str, places: list[int]) -> None:
    end_ms = ms("2100-01-01T00:00")
    made = [
        await add(store, overlap=Overlap.SKIP, remaining=4),
        await add_cron(store, "0 7 * * MON", "Europe/Brussels", note="Hello there"),
        await add(store, tags=("a", "b"), jitter_ms=2_000, catch_up_ms=2_500, end_ms=end_ms),
    ]
    found = (await store.find_schedules(parse(rql))).rows
    assert [schedule.id for schedule in found] == [made[place].id for place in places]
