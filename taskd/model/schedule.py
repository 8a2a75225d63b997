"""Schedules: tasks that come again and again, on a grid that does not drift."""

from msgspec import Struct


class Schedule(Struct, frozen=True, gc=False, array_like=True):
    """A recurring task. Written to the journal in this order: add new fields at the end, with a default."""

    id: str
    interval_s: int
    function_name: str
    data: bytes
    """The JSON text of an object."""
    priority: int
    start_ms: int
    next_ms: int
    """When the next occurrence is due; always ``start_ms`` plus a whole number of intervals."""
    creation_ms: int
    update_ms: int


def next_occurrence(schedule: Schedule, now_ms: int) -> tuple[int, int]:
    """The first grid point after ``now_ms``, and how many were passed over since ``next_ms``.

    The occurrence at ``next_ms`` itself is the one being made, so it does not count as passed over.
    """
    interval_ms = schedule.interval_s * 1000
    steps = max(1, (now_ms - schedule.next_ms) // interval_ms + 1)
    return schedule.next_ms + steps * interval_ms, steps - 1
