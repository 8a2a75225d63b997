"""The heap of times agrees, after any changes, with a look at every schedule."""

import time

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from support.clocks import FakeClock

from taskd.model import recurrence
from taskd.model.schedule import NEVER_MS, Schedule, ScheduleDraft
from taskd.store.embedded.schedule_times import ScheduleTimes

DRAFT = ScheduleDraft(function_name="f", data=b"{}", interval_ms=60_000, start_ms=0)
BASE = recurrence.create(DRAFT, "0" * 24, FakeClock()())
IDS = st.sampled_from(["a", "b", "c", "d"])
TIMES_MS = st.integers(0, 20)
CHANGES = st.one_of(
    st.tuples(
        IDS, st.builds(lambda *values: values, TIMES_MS | st.just(NEVER_MS), st.none() | TIMES_MS, st.booleans())
    ),
    st.tuples(IDS, st.none() | st.booleans()),
)


@given(st.lists(CHANGES, max_size=200), TIMES_MS, st.integers(1, 5))
def test_what_is_due_is_what_a_look_at_each_finds(changes: list[tuple[str, object]], now_ms: int, limit: int) -> None:
    schedules: dict[str, Schedule] = {}
    active: dict[str, int] = {}
    times = ScheduleTimes(schedules, active)
    for schedule_id, change in changes:
        apply(schedules, active, schedule_id, change)
        times.changed(schedule_id)
    waiting = {each: at_ms for each in schedules if (at_ms := due_ms(schedules[each], each in active)) is not None}
    assert times.next_ms() == min(waiting.values(), default=None)
    due = sorted((at_ms, each) for each, at_ms in waiting.items() if at_ms <= now_ms)
    for _ in range(2):  # to ask changes nothing
        assert [each.id for each in times.due(now_ms, limit)] == [each for _, each in due[:limit]]
    assert {each for _, each in due} == {
        each for each in schedules if schedules[each].is_due(now_ms, is_active=each in active)
    }


def apply(schedules: dict[str, Schedule], active: dict[str, int], schedule_id: str, change: object) -> None:
    if isinstance(change, tuple):
        next_ms, buffered_ms, paused = change
        schedules[schedule_id] = replace(BASE, id=schedule_id, next_ms=next_ms, buffered_ms=buffered_ms, paused=paused)
    elif change is None:
        schedules.pop(schedule_id, None)
    elif change:
        active[schedule_id] = 1
    else:
        active.pop(schedule_id, None)


def due_ms(schedule: Schedule, is_active: bool) -> int | None:
    if schedule.paused:
        return None
    times_ms = [schedule.next_ms, *([] if schedule.buffered_ms is None or is_active else [schedule.buffered_ms])]
    return None if min(times_ms) == NEVER_MS else min(times_ms)


def test_a_look_at_very_many_schedules_takes_no_longer_than_at_a_few() -> None:
    took_s = []
    for count in (100, 50_000):
        schedules = {f"{number:024x}": replace(BASE, id=f"{number:024x}", next_ms=number) for number in range(count)}
        times = ScheduleTimes(schedules, {})
        for each in schedules:
            times.changed(each)
        began_s = time.thread_time()
        for _ in range(2_000):
            assert times.next_ms() == 0
            assert len(times.due(50, 10)) == 10
        took_s.append(time.thread_time() - began_s)
    assert took_s[1] < 20 * took_s[0]  # a look at each would take 500 times as long
