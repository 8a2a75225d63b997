"""The JSON shapes of operations in bulk: what clients read."""

from msgspec import UNSET, Raw, Struct, UnsetType

from taskd.model.operation import Operation, OperationAction
from taskd.model.task import Task
from taskd.model.timestamps import format_ms

OUTSIDE = (
    "backups and snapshots of the data directory, write-ahead log archives included",
    "what functions, their logs in other places and the systems they called have kept",
    "the journal of the operating system, and wherever taskd's own log goes",
    "the audit trail, which has ids and no data",
)
"""Where else something of what is erased may be: nobody but people can erase it there."""


class MatchView(Struct, rename="camel", gc=False):
    """A task that matches, without its data."""

    id: str
    status: str
    function_name: str
    priority: int
    start_timestamp: str
    creation_timestamp: str
    tags: tuple[str, ...]


class OperationView(Struct, rename="camel", kw_only=True, gc=False):
    """An operation as clients see it. A dry run has no ``id``, ``status`` and times, but the ``first`` matches."""

    id: str | UnsetType = UNSET
    action: str
    rql: str
    status: str | UnsetType = UNSET
    dry_run: bool | UnsetType = UNSET
    """Left out where it is none."""
    matched: int
    done: int
    skipped: int
    """Tasks that had their turn, and were not, or no longer, in a state for it."""
    rate_per_second: int | float | UnsetType = UNSET
    data: Raw | UnsetType = UNSET
    """Left out once the operation has ended."""
    priority: int | UnsetType = UNSET
    start_timestamp: str | UnsetType = UNSET
    creation_timestamp: str | UnsetType = UNSET
    update_timestamp: str | UnsetType = UNSET
    created_by_application_id: str | UnsetType = UNSET
    created_by_user_id: str | UnsetType = UNSET
    error: str | UnsetType = UNSET
    """Why it failed."""
    wait_reason: str | UnsetType = UNSET
    """Why it cannot go on at the moment; it does as soon as it can."""
    outside: tuple[str, ...] | UnsetType = UNSET
    """What an erasure cannot reach."""
    first: list[MatchView] | UnsetType = UNSET


def operation_view(operation: Operation) -> OperationView:
    """``operation`` in the shape of the API; fields that are not set are left out."""
    return OperationView(
        id=operation.id,
        action=operation.action.value,
        rql=operation.rql,
        status=operation.status.value,
        matched=operation.matched,
        done=operation.done,
        skipped=operation.skipped,
        rate_per_second=UNSET if operation.rate_per_s is None else operation.rate_per_s,
        data=UNSET if operation.data is None else Raw(operation.data),
        priority=UNSET if operation.priority is None else operation.priority,
        start_timestamp=UNSET if operation.start_ms is None else format_ms(operation.start_ms),
        creation_timestamp=format_ms(operation.creation_ms),
        update_timestamp=format_ms(operation.update_ms),
        created_by_application_id=operation.created_by_application_id or UNSET,
        created_by_user_id=operation.created_by_user_id or UNSET,
        error=operation.error or UNSET,
        wait_reason=operation.wait_reason or UNSET,
        outside=OUTSIDE if operation.action is OperationAction.ERASE else UNSET,
    )


def dry_run_view(action: str, rql: str, matched: int, first: list[Task]) -> OperationView:
    """What an operation would begin with."""
    shown = [match_view(task) for task in first]
    return OperationView(action=action, rql=rql, dry_run=True, matched=matched, done=0, skipped=0, first=shown)


def match_view(task: Task) -> MatchView:
    """``task`` as one of many."""
    return MatchView(
        id=task.id,
        status=task.status.value,
        function_name=task.function_name,
        priority=task.priority,
        start_timestamp=format_ms(task.start_ms),
        creation_timestamp=format_ms(task.creation_ms),
        tags=task.tags,
    )
