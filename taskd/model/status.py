"""The status table: which statuses a task has, and which may follow which."""

from enum import StrEnum


class Status(StrEnum):
    """Where a task is in its life; the values are the wire's."""

    NEW = "new"
    IN_PROGRESS = "inProgress"
    COMPLETE = "complete"
    FAILED = "failed"
    RETRIED = "retried"
    CANCELED = "canceled"


NEXT: dict[Status, frozenset[Status]] = {
    Status.NEW: frozenset({Status.IN_PROGRESS, Status.CANCELED}),
    # back to new: the runtime refused the call before the function ran (throttling)
    Status.IN_PROGRESS: frozenset({Status.COMPLETE, Status.FAILED, Status.RETRIED, Status.NEW}),
    Status.COMPLETE: frozenset(),
    Status.FAILED: frozenset(),
    Status.RETRIED: frozenset(),
    Status.CANCELED: frozenset(),
}
"""For each status, the statuses that may follow it; nothing follows a final one."""

FINAL: frozenset[Status] = frozenset(status for status, followers in NEXT.items() if not followers)
