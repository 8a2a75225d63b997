"""Schedules: tasks that come again and again, on a grid that does not drift."""

from collections.abc import Collection

from msgspec import Struct
from msgspec.structs import replace

from taskd.model import limits
from taskd.model.errors import ILLEGAL_STATE, ContractError
from taskd.model.shares import has_room
from taskd.model.task import TaskDraft


class ScheduleDraft(Struct, frozen=True, gc=False):
    """What a caller asks for; the store makes a :class:`Schedule` of it. ``data`` is the JSON text of an object."""

    function_name: str
    data: bytes
    interval_ms: int
    start_ms: int
    priority: int = 0
    created_by_user_id: str | None = None
    created_by_application_id: str | None = None


class Schedule(Struct, frozen=True, gc=False, array_like=True):
    """A recurring task. Persisted as an array in this order: add new fields at the end, with a default."""

    id: str
    interval_ms: int
    function_name: str
    data: bytes
    """The JSON text of an object."""
    priority: int
    start_ms: int
    next_ms: int
    """When the next occurrence is due; always ``start_ms`` plus a whole number of intervals."""
    creation_ms: int
    update_ms: int
    created_by_user_id: str | None = None
    created_by_application_id: str | None = None
    paused: bool = False
    """Whether it makes no tasks until it is resumed."""
    pause_reason: str | None = None
    """Why it is paused, for people; taskd itself gives one where it cannot go on."""

    def is_due(self, now_ms: int) -> bool:
        """Whether an occurrence is to be made."""
        return self.next_ms <= now_ms and not self.paused


def require_room(draft: ScheduleDraft, others: Collection[Schedule]) -> None:
    """Raises ``ContractError`` (``ILLEGAL_STATE``) unless its caller may have one more beside all ``others``."""
    held = sum(1 for other in others if _owner(other) == _owner(draft))
    if not has_room(held, len(others), limits.SCHEDULES_MAX):
        message = f"There are {len(others)} schedules, {held} of them of this caller, who may have no more; delete one."
        raise ContractError(ILLEGAL_STATE, message)


def _owner(schedule: Schedule | ScheduleDraft) -> str | None:
    """Whose share of all schedules it takes."""
    return schedule.created_by_user_id or schedule.created_by_application_id


def create(draft: ScheduleDraft, schedule_id: str, now_ms: int) -> Schedule:
    """A new schedule from a draft; its first occurrence is at its start, also if that has passed."""
    return Schedule(
        id=schedule_id,
        interval_ms=draft.interval_ms,
        function_name=draft.function_name,
        data=draft.data,
        priority=draft.priority,
        start_ms=draft.start_ms,
        next_ms=draft.start_ms,
        creation_ms=now_ms,
        update_ms=now_ms,
        created_by_user_id=draft.created_by_user_id,
        created_by_application_id=draft.created_by_application_id,
    )


def occurrence(schedule: Schedule) -> TaskDraft:
    """The task that is due at ``next_ms``."""
    return TaskDraft(
        function_name=schedule.function_name,
        data=schedule.data,
        start_ms=schedule.next_ms,
        priority=schedule.priority,
        created_by_user_id=schedule.created_by_user_id,
        created_by_application_id=schedule.created_by_application_id,
        schedule_id=schedule.id,
    )


def next_occurrence(schedule: Schedule, now_ms: int) -> tuple[int, int]:
    """The first grid point after ``now_ms``, and how many were passed over since ``next_ms``.

    The occurrence at ``next_ms`` itself is the one being made, so it does not count as passed over.
    """
    steps = max(1, (now_ms - schedule.next_ms) // schedule.interval_ms + 1)
    return schedule.next_ms + steps * schedule.interval_ms, steps - 1


def pause(schedule: Schedule, now_ms: int, reason: str | None) -> Schedule:
    """The schedule makes no more tasks until it is resumed."""
    return replace(schedule, paused=True, pause_reason=reason, update_ms=now_ms)


def resume(schedule: Schedule, now_ms: int) -> Schedule:
    """The schedule goes on with its first occurrence from now on; what passed while it was paused is not made."""
    if not schedule.paused:
        return schedule
    return replace(schedule, paused=False, pause_reason=None, next_ms=first_from(schedule, now_ms), update_ms=now_ms)


def hand_over(schedule: Schedule, user_id: str | None, application_id: str | None) -> Schedule:
    """The schedule makes its tasks in somebody else's name from now on."""
    return replace(schedule, created_by_user_id=user_id, created_by_application_id=application_id)


def first_from(schedule: Schedule, now_ms: int) -> int:
    """The first grid point at ``now_ms`` or later that has not been made."""
    if schedule.next_ms >= now_ms:
        return schedule.next_ms
    return next_occurrence(schedule, now_ms - 1)[0]


def advance(schedule: Schedule, next_ms: int, now_ms: int) -> Schedule:
    """The occurrence that was due has been made, and the next one is at ``next_ms``."""
    return replace(schedule, next_ms=next_ms, update_ms=now_ms)
