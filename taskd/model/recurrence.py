"""When the times of a schedule are: on the grid of its start and its interval, or where its cron expression matches.

They depend on nothing but the schedule, and on the data of its time zone.
"""

from collections.abc import Iterator
from functools import lru_cache
from hashlib import blake2b
from itertools import islice

from msgspec.structs import replace

from taskd.model import cron
from taskd.model.schedule import NEVER_MS, Schedule, ScheduleDraft
from taskd.model.time_zones import time_zone

UTC = "UTC"


def create(draft: ScheduleDraft, schedule_id: str, now_ms: int) -> Schedule:
    """A new schedule from a draft, aimed at its first time from its start on, also if that has passed.

    :raises TaskdError: the expression or the zone is not known here.
    """
    schedule = Schedule(
        id=schedule_id,
        interval_ms=draft.interval_ms,
        function_name=draft.function_name,
        data=draft.data,
        priority=draft.priority,
        start_ms=draft.start_ms,
        next_ms=NEVER_MS,
        creation_ms=now_ms,
        update_ms=now_ms,
        created_by_user_id=draft.created_by_user_id,
        created_by_application_id=draft.created_by_application_id,
        paused=draft.paused,
        cron=draft.cron,
        time_zone=draft.time_zone,
        overlap=draft.overlap,
        catch_up_ms=draft.catch_up_ms,
        jitter_ms=draft.jitter_ms,
        end_ms=draft.end_ms,
        remaining=draft.remaining,
        note=draft.note,
        tags=draft.tags,
        unique=draft.unique,
    )
    return aimed_after(schedule, draft.start_ms - 1)


def time_after(schedule: Schedule, after_ms: int) -> int | None:
    """The first time later than ``after_ms``, whether or not the schedule has begun or ended by then; ``None``: never.

    :raises TaskdError: the expression or the zone is not known here.
    """
    if schedule.cron is not None:
        return _cron_time_after(schedule.cron, schedule.time_zone or UTC, after_ms)
    steps = (after_ms - schedule.start_ms) // schedule.interval_ms + 1
    return schedule.start_ms + steps * schedule.interval_ms


def aimed_after(schedule: Schedule, after_ms: int) -> Schedule:
    """The schedule with its first time later than ``after_ms`` as the next, or none if it makes no more by then."""
    next_ms = None if schedule.remaining == 0 else time_after(schedule, max(after_ms, schedule.start_ms - 1))
    if next_ms is None or (schedule.end_ms is not None and next_ms > schedule.end_ms):
        return replace(schedule, next_ms=NEVER_MS, delay_ms=0)
    delay_ms = delay_of(schedule, next_ms)
    return replace(schedule, next_ms=next_ms + delay_ms, delay_ms=delay_ms)


def delay_of(schedule: Schedule, time_ms: int) -> int:
    """How much later than ``time_ms`` the occurrence of that time is due: always the same, and before the next time."""
    if not schedule.jitter_ms:
        return 0
    following_ms = time_after(schedule, time_ms)
    most_ms = schedule.jitter_ms if following_ms is None else min(schedule.jitter_ms, following_ms - time_ms)
    digest = blake2b(f"{schedule.id} {time_ms}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) % most_ms


def times_between(schedule: Schedule, from_ms: int, to_ms: int) -> Iterator[int]:
    """Its times from ``from_ms`` to ``to_ms``, both included, whether or not it has begun or ended by then."""
    time_ms = time_after(schedule, from_ms - 1)
    while time_ms is not None and time_ms <= to_ms:
        yield time_ms
        time_ms = time_after(schedule, time_ms)


def upcoming(schedule: Schedule, count: int) -> list[int]:
    """When the next ``count`` tasks are due, by what is known now; fewer if it ends before, none if it is paused."""
    if schedule.paused:
        return []
    remaining = count if schedule.remaining is None else min(count, schedule.remaining)
    return list(islice(_due_times(schedule), remaining))


def _due_times(schedule: Schedule) -> Iterator[int]:
    while schedule.next_ms != NEVER_MS:
        yield schedule.next_ms
        schedule = aimed_after(schedule, schedule.next_time_ms)


def resume(schedule: Schedule, now_ms: int) -> Schedule:
    """The schedule goes on with its first occurrence from now on; what passed while it was paused is not made."""
    if not schedule.paused:
        return schedule
    resumed = replace(schedule, paused=False, pause_reason=None, update_ms=now_ms)
    return resumed if resumed.next_ms >= now_ms else aimed_after(resumed, now_ms - 1)


def changed(schedule: Schedule, wanted: Schedule, now_ms: int) -> Schedule:
    """The schedule once it has the fields of ``wanted``.

    It stays aimed at its next time, unless its times are others now: then it goes on later than all that was made, also
    by a clock that was set back since. Raises ``TaskdError`` where the expression or the zone is not known here.
    """
    wanted = replace(wanted, update_ms=now_ms)
    if _times(wanted) == _times(schedule):
        return wanted
    return aimed_after(replace(wanted, buffered_ms=None), max(now_ms, schedule.update_ms))


def _times(schedule: Schedule) -> tuple[object, ...]:
    rules = (schedule.interval_ms, schedule.cron, schedule.time_zone, schedule.start_ms, schedule.jitter_ms)
    return *rules, schedule.end_ms, schedule.remaining is None or schedule.remaining > 0


@lru_cache(maxsize=4096)  # a schedule that is made, aimed or delayed asks for the same time more than once
def _cron_time_after(expression: str, zone_name: str, after_ms: int) -> int | None:
    return cron.next_after(cron.parse(expression), time_zone(zone_name), after_ms)
