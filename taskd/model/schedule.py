"""Schedules: tasks that come again and again, at the times of a grid or of a cron expression.

When its times are is told by :mod:`taskd.model.recurrence`, and what becomes of a due one by
:mod:`taskd.model.firing`.
"""

from collections.abc import Collection
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from taskd.model import limits
from taskd.model.errors import ILLEGAL_STATE, ContractError
from taskd.model.shares import has_room
from taskd.model.task import TaskDraft
from taskd.model.task_extras import OnConflict, TaskExtras, UniqueKey, UniqueRule

NEVER_MS = 2**62
"""When the next task of a schedule is made that makes no more."""


class Overlap(StrEnum):
    """What is to be done when a task is due while an earlier one of the schedule has not ended."""

    ALLOW = "allow"
    SKIP = "skip"
    BUFFER_ONE = "bufferOne"
    """The first that comes meanwhile is made when the earlier one has ended; the others are left out."""


class ScheduleDraft(Struct, frozen=True, gc=False):
    """What a caller asks for; the store makes a :class:`Schedule` of it. ``data`` is the JSON text of an object.

    It has an interval or a cron expression; fields mean what they do in a schedule.
    """

    function_name: str
    data: bytes
    interval_ms: int
    start_ms: int
    priority: int = 0
    created_by_user_id: str | None = None
    created_by_application_id: str | None = None
    cron: str | None = None
    time_zone: str | None = None
    overlap: Overlap = Overlap.ALLOW
    catch_up_ms: int | None = None
    jitter_ms: int = 0
    end_ms: int | None = None
    remaining: int | None = None
    paused: bool = False
    note: str | None = None
    tags: tuple[str, ...] = ()
    unique: UniqueRule | None = None


class Schedule(Struct, frozen=True, gc=False, array_like=True):
    """A recurring task. Persisted as an array in this order: add new fields at the end, with a default."""

    id: str
    interval_ms: int
    """0 if it goes by ``cron``."""
    function_name: str
    data: bytes
    """The JSON text of an object."""
    priority: int
    start_ms: int
    next_ms: int
    """When the next occurrence is due; :data:`NEVER_MS` if there is none to come."""
    creation_ms: int
    update_ms: int
    created_by_user_id: str | None = None
    created_by_application_id: str | None = None
    paused: bool = False
    """Whether it makes no tasks until it is resumed."""
    pause_reason: str | None = None
    """Why it is paused, for people; taskd itself gives one where it cannot go on."""
    cron: str | None = None
    """The expression that its times match; ``None`` if it has an interval."""
    time_zone: str | None = None
    """The IANA name of the zone that ``cron`` is in; ``None`` is UTC."""
    overlap: Overlap = Overlap.ALLOW
    catch_up_ms: int | None = None
    """How long ago a missed occurrence may have been due and still be made; ``None`` has one stand for them all."""
    jitter_ms: int = 0
    """How much later than its time an occurrence may be due."""
    end_ms: int | None = None
    """After this none is due any more."""
    remaining: int | None = None
    """How many tasks it will still make; ``None`` is no limit."""
    note: str | None = None
    """What people wrote for people."""
    tags: tuple[str, ...] = ()
    """Of each of its tasks."""
    delay_ms: int = 0
    """How much later than its time the next occurrence is due, because of the jitter."""
    buffered_ms: int | None = None
    """When an occurrence was due that waits for the end of an earlier task."""
    unique: UniqueRule | None = None
    """The key of its tasks: while another task has it, none is made."""

    @property
    def next_time_ms(self) -> int:
        """The time of the next occurrence itself, whatever the jitter makes of it."""
        return self.next_ms - self.delay_ms

    @property
    def has_ended(self) -> bool:
        """Whether it will make no more tasks by itself."""
        return self.next_ms == NEVER_MS and self.buffered_ms is None

    def is_due(self, now_ms: int, *, is_active: bool = False) -> bool:
        """Whether something is to be done; ``is_active``: an earlier task of it waits or runs."""
        if self.paused:
            return False
        is_buffered = self.buffered_ms is not None and self.buffered_ms <= now_ms  # else the clock was set back
        return self.next_ms <= now_ms or (is_buffered and not is_active)


def require_room(draft: ScheduleDraft, others: Collection[Schedule]) -> None:
    """Raises ``ContractError`` (``ILLEGAL_STATE``) unless its caller may have one more beside all ``others``."""
    held = sum(1 for other in others if _owner(other) == _owner(draft))
    if not has_room(held, len(others), limits.SCHEDULES_MAX):
        message = f"There are {len(others)} schedules, {held} of them of this caller, who may have no more; delete one."
        raise ContractError(ILLEGAL_STATE, message)


def _owner(schedule: Schedule | ScheduleDraft) -> str | None:
    """Whose share of all schedules it takes."""
    return schedule.created_by_user_id or schedule.created_by_application_id


def occurrence(schedule: Schedule, due_ms: int) -> TaskDraft:
    """The task that is due at ``due_ms``."""
    return TaskDraft(
        function_name=schedule.function_name,
        data=schedule.data,
        start_ms=due_ms,
        priority=schedule.priority,
        tags=schedule.tags,
        created_by_user_id=schedule.created_by_user_id,
        created_by_application_id=schedule.created_by_application_id,
        schedule_id=schedule.id,
        extras=None if schedule.unique is None else _keyed(schedule.unique),
        on_conflict=OnConflict.EXISTING if schedule.unique is None else schedule.unique.on_conflict,
    )


def _keyed(rule: UniqueRule) -> TaskExtras:
    return TaskExtras(unique=UniqueKey(rule.key, rule.lasts))


def pause(schedule: Schedule, now_ms: int, reason: str | None) -> Schedule:
    """The schedule makes no more tasks until it is resumed; what was buffered is given up."""
    return replace(schedule, paused=True, pause_reason=reason, buffered_ms=None, update_ms=now_ms)


def hand_over(schedule: Schedule, user_id: str | None, application_id: str | None) -> Schedule:
    """The schedule makes its tasks in somebody else's name from now on."""
    return replace(schedule, created_by_user_id=user_id, created_by_application_id=application_id)
