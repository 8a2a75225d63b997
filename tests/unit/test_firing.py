"""Schedules over a made-up life: outages, tasks that take their time, clocks set back. Whatever happens, rules hold."""

from collections.abc import Iterator
from typing import NamedTuple

from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from taskd.model import recurrence
from taskd.model.firing import PUNCTUAL_MS, fire
from taskd.model.schedule import NEVER_MS, Overlap, Schedule, ScheduleDraft

BEGIN_MS = 1_700_000_100_000
INTERVALS_MS = (100, 1_000, 60_000)
CRONS = ("* * * * *", "*/7 * * * *", "30 2 * * *")

drafts = st.builds(
    ScheduleDraft,
    function_name=st.just("f"),
    data=st.just(b"{}"),
    interval_ms=st.sampled_from(INTERVALS_MS),
    start_ms=st.integers(BEGIN_MS - 5_000, BEGIN_MS + 5_000),
    cron=st.one_of(st.none(), st.none(), st.sampled_from(CRONS)),
    overlap=st.sampled_from(Overlap),
    catch_up_ms=st.one_of(st.none(), st.sampled_from((0, 1_500, 60_000))),
    jitter_ms=st.sampled_from((0, 0, 700, 90_000)),
    end_ms=st.one_of(st.none(), st.integers(BEGIN_MS, BEGIN_MS + 400_000)),
    remaining=st.one_of(st.none(), st.integers(1, 6)),
)
lives = st.lists(
    st.tuples(st.sampled_from((-200_000, -1, 0, 1, 99, 1_000, 30_000, 61_000, 86_400_000)), st.booleans()),
    min_size=1,
    max_size=25,
)


class Made(NamedTuple):
    start_ms: int
    at_ms: int
    was_active: bool


def live(schedule: Schedule, steps: list[tuple[int, bool]]) -> Iterator[tuple[Schedule, Made | None]]:
    """Time passes by steps, at each of which the last task may have ended; everything due is done, to some number."""
    now_ms, is_active = BEGIN_MS, False
    for step_ms, has_ended in steps:
        now_ms += step_ms
        is_active = is_active and not has_ended
        for _ in range(30):
            if not schedule.is_due(now_ms, is_active=is_active):
                break
            firing = fire(schedule, now_ms, is_active=is_active)
            task = firing.task
            yield firing.schedule, None if task is None else Made(task.start_ms, now_ms, is_active)
            schedule, is_active = firing.schedule, is_active or task is not None


def schedule_of(draft: ScheduleDraft) -> Schedule:
    interval_ms = 0 if draft.cron else draft.interval_ms
    return recurrence.create(replace(draft, interval_ms=interval_ms), "0" * 24, BEGIN_MS)


def made_in(draft: ScheduleDraft, steps: list[tuple[int, bool]]) -> list[Made]:
    return [made for _, made in live(schedule_of(draft), steps) if made is not None]


BUFFERING = ScheduleDraft("f", b"{}", 100, BEGIN_MS - 5_000, overlap=Overlap.BUFFER_ONE)


@given(drafts, lives)
@example(BUFFERING, [(-1, False), (1, False), (-200_000, True)])
def test_each_task_is_of_a_time_of_its_own_in_order_and_never_early(
    draft: ScheduleDraft, steps: list[tuple[int, bool]]
) -> None:
    schedule, made = schedule_of(draft), made_in(draft, steps)
    starts = [task.start_ms for task in made]
    assert starts == sorted(set(starts))
    for task in made:
        assert draft.start_ms <= task.start_ms <= task.at_ms
        time_ms = task.start_ms
        if draft.jitter_ms and not _is_time(schedule, time_ms):
            earlier = recurrence.times_between(schedule, time_ms - draft.jitter_ms, time_ms)
            assert any(each + recurrence.delay_of(schedule, each) == time_ms for each in earlier)
        else:
            assert _is_time(schedule, time_ms)


def _is_time(schedule: Schedule, time_ms: int) -> bool:
    return recurrence.time_after(schedule, time_ms - 1) == time_ms


@given(drafts, lives)
def test_a_schedule_makes_no_more_than_remain_and_nothing_after_its_end(
    draft: ScheduleDraft, steps: list[tuple[int, bool]]
) -> None:
    made = made_in(draft, steps)
    if draft.remaining is not None:
        assert len(made) <= draft.remaining
    if draft.end_ms is not None:
        assert all(task.start_ms <= draft.end_ms + draft.jitter_ms for task in made)


@given(drafts, lives)
def test_no_task_is_made_beside_another_unless_that_is_allowed(
    draft: ScheduleDraft, steps: list[tuple[int, bool]]
) -> None:
    if draft.overlap is not Overlap.ALLOW:
        assert not any(task.was_active for task in made_in(draft, steps))


@given(drafts, lives)
def test_nothing_is_made_later_than_its_catching_up_allows(draft: ScheduleDraft, steps: list[tuple[int, bool]]) -> None:
    if draft.catch_up_ms is None or draft.overlap is Overlap.BUFFER_ONE:
        return
    most_ms = max(draft.catch_up_ms, PUNCTUAL_MS) + draft.jitter_ms
    assert all(task.at_ms - task.start_ms <= most_ms for task in made_in(draft, steps))


@given(drafts, lives)
def test_a_schedule_that_was_due_is_aimed_at_a_later_time_or_has_ended(
    draft: ScheduleDraft, steps: list[tuple[int, bool]]
) -> None:
    before = schedule_of(draft)
    for after, made in live(before, steps):
        assert after.next_ms > before.next_ms or after.next_ms == NEVER_MS or before.buffered_ms is not None
        assert made is not None or after != before
        assert not after.paused
        before = after


@given(drafts.map(lambda draft: replace(draft, overlap=Overlap.ALLOW, remaining=None, end_ms=None, jitter_ms=0)), lives)
def test_what_is_left_out_had_passed(draft: ScheduleDraft, steps: list[tuple[int, bool]]) -> None:
    """Without catching up, one task stands for all that had passed; with it, what is left out was too long ago."""
    schedule, expected_ms = schedule_of(draft), recurrence.time_after(schedule_of(draft), draft.start_ms - 1)
    for after, made in live(schedule, steps):
        if made is None:
            assert draft.catch_up_ms is not None
        elif draft.catch_up_ms is None:
            assert made.start_ms == expected_ms
        expected_ms = after.next_ms
