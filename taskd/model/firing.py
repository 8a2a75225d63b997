"""What becomes of a schedule that is due: which task it makes, if any, and where it stands then."""

from itertools import islice

from msgspec import Struct
from msgspec.structs import replace

from taskd.model import recurrence
from taskd.model.errors import TaskdError
from taskd.model.schedule import NEVER_MS, Overlap, Schedule, occurrence, pause
from taskd.model.task import TaskDraft

PUNCTUAL_MS = 10_000
"""An occurrence that is made within so long of its time was not missed: schedulers are late, too, now and then."""
COUNTED_MAX = 20
"""Of times that passed, where each has to be looked for: after an outage very many schedules have some."""


class Firing(Struct, frozen=True):
    """One step of a schedule."""

    schedule: Schedule
    """As it is afterwards; paused if it cannot go on."""
    task: TaskDraft | None
    """What it makes."""
    skipped: int
    """How many times passed for which nothing is made, or that ``task`` stands for; at least so many if that is
    :data:`COUNTED_MAX`."""


def fire(schedule: Schedule, now_ms: int, *, is_active: bool, is_taken: bool = False) -> Firing:
    """The step of a schedule that is due; ``is_active``: an earlier task of it waits or runs.

    ``is_taken``: the unique key of its tasks is another's, so that it makes none and goes on.

    A schedule whose times cannot be told any more is paused, and says why.
    """
    try:
        if is_taken:
            return _kept_out(schedule, now_ms)
        if schedule.buffered_ms is not None and not is_active:
            return _made(replace(schedule, buffered_ms=None), schedule.buffered_ms, now_ms, 0)
        if is_active and schedule.overlap is not Overlap.ALLOW:
            return _kept_back(schedule, now_ms)
        if schedule.catch_up_ms is None:
            return _collapsed(schedule, now_ms)
        return _caught_up(schedule, now_ms, schedule.catch_up_ms)
    except TaskdError as error:
        return Firing(pause(schedule, now_ms, f"Its next time cannot be told: {error}"), None, 0)


def _collapsed(schedule: Schedule, now_ms: int) -> Firing:
    """One task stands for all occurrences that have passed."""
    following = recurrence.aimed_after(schedule, schedule.next_time_ms)
    skipped = 0
    if following.next_ms <= now_ms:
        following = recurrence.aimed_after(schedule, now_ms)
        skipped = _count(schedule, schedule.next_time_ms, now_ms)
    return _made(following, schedule.next_ms, now_ms, skipped)


def _caught_up(schedule: Schedule, now_ms: int, catch_up_ms: int) -> Firing:
    """Each occurrence gets a task that is not too late for it, one in each step."""
    if schedule.next_ms >= now_ms - catch_up_ms:
        return _made(recurrence.aimed_after(schedule, schedule.next_time_ms), schedule.next_ms, now_ms, 0)
    before_ms = schedule.next_time_ms - 1
    kept = recurrence.aimed_after(schedule, max(schedule.next_time_ms, now_ms - catch_up_ms - 1))
    if kept.next_ms <= now_ms:  # the next step makes it
        return Firing(replace(kept, update_ms=now_ms), None, _count(schedule, before_ms, kept.next_ms - 1))
    if (last_ms := _last_punctual(schedule, now_ms)) is not None:
        return _made(kept, last_ms, now_ms, _count(schedule, before_ms, last_ms - 1))
    return Firing(replace(kept, update_ms=now_ms), None, _count(schedule, before_ms, now_ms))


def _last_punctual(schedule: Schedule, now_ms: int) -> int | None:
    """The last time to have passed, if that was not long ago."""
    since_ms = max(schedule.next_time_ms, now_ms - PUNCTUAL_MS)
    until_ms = now_ms if schedule.end_ms is None else min(now_ms, schedule.end_ms)
    if schedule.cron is not None:
        return max(recurrence.times_between(schedule, since_ms, until_ms), default=None)
    last_ms = (recurrence.time_after(schedule, until_ms) or 0) - schedule.interval_ms
    return last_ms if last_ms >= since_ms else None


def _kept_back(schedule: Schedule, now_ms: int) -> Firing:
    """An earlier task has not ended: at most one occurrence waits for that."""
    buffered_ms, skipped = schedule.buffered_ms, _count(schedule, schedule.next_time_ms - 1, now_ms)
    if buffered_ms is None and schedule.overlap is Overlap.BUFFER_ONE:
        buffered_ms, skipped = schedule.next_ms, skipped - 1
    following = recurrence.aimed_after(schedule, max(now_ms, schedule.next_time_ms))
    return Firing(replace(following, buffered_ms=buffered_ms, update_ms=now_ms), None, skipped)


def _kept_out(schedule: Schedule, now_ms: int) -> Firing:
    """Nothing is made of what has passed, nor of what was buffered."""
    skipped = int(schedule.buffered_ms is not None)
    following = schedule
    if schedule.next_ms <= now_ms:
        skipped += _count(schedule, schedule.next_time_ms - 1, now_ms)
        following = recurrence.aimed_after(schedule, max(now_ms, schedule.next_time_ms))
    return Firing(replace(following, buffered_ms=None, update_ms=now_ms), None, skipped)


def _made(following: Schedule, due_ms: int, now_ms: int, skipped: int) -> Firing:
    """The task that is due at ``due_ms``, and the schedule with one less to make."""
    task = occurrence(following, due_ms)
    if following.remaining is None:
        return Firing(replace(following, update_ms=now_ms), task, skipped)
    remaining = following.remaining - 1
    next_ms, delay_ms = (following.next_ms, following.delay_ms) if remaining else (NEVER_MS, 0)
    ended = replace(following, remaining=remaining, next_ms=next_ms, delay_ms=delay_ms, update_ms=now_ms)
    return Firing(ended, task, skipped)


def _count(schedule: Schedule, after_ms: int, until_ms: int) -> int:
    """How many of its times lie after ``after_ms``, up to ``until_ms``: counted up, if it has to be, to some number."""
    if schedule.end_ms is not None:
        until_ms = min(until_ms, schedule.end_ms)
    if schedule.cron is not None:
        return sum(1 for _ in islice(recurrence.times_between(schedule, after_ms + 1, until_ms), COUNTED_MAX))
    begin_ms, interval_ms = schedule.start_ms, schedule.interval_ms
    return max(0, (until_ms - begin_ms) // interval_ms - (after_ms - begin_ms) // interval_ms)
