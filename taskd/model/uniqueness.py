"""Unique tasks: which key a task has, and while it keeps others of that key out.

A key is one of its function's: tasks of two functions never meet, whatever their keys.
"""

from collections.abc import Sequence

from taskd.model.errors import ALREADY_EXISTS, ContractError
from taskd.model.status import FINAL, Status
from taskd.model.task import Task, TaskDraft
from taskd.model.task_extras import UniqueKey, WhileKind

Slot = tuple[str, str]
"""The name of a function and a key: one task at a time has it."""


class UniqueConflictError(ContractError):
    """The task at ``place`` of a request was to be refused if its key is another's, which it is; nothing was done."""

    def __init__(self, slot: Slot, place: int, task_id: str | None = None) -> None:
        """``task_id`` is of who has the key, if that is no other task of the same request."""
        function_name, key = slot
        holder = "Another task of this request" if task_id is None else f"Task {task_id}"
        message = f"{holder} of the function {function_name} has the unique key {key!r}."
        super().__init__(ALREADY_EXISTS, message, **({} if task_id is None else {"taskId": task_id}))
        self.place = place


def unique_key(record: Task | TaskDraft) -> UniqueKey | None:
    """The key that the task is to be alone with, if it has one."""
    return None if record.extras is None else record.extras.unique


def slot_of(record: Task | TaskDraft) -> Slot | None:
    """What the task takes, if it has a key."""
    unique = unique_key(record)
    return None if unique is None else (record.function_name, unique.key)


def has_unique(drafts: Sequence[TaskDraft]) -> bool:
    """Whether any of them has a key."""
    return any(draft.extras is not None and draft.extras.unique is not None for draft in drafts)


def ends_ms(creation_ms: int, unique: UniqueKey) -> int | None:
    """When a key that lasts for some time is free again; ``None`` if that depends on what becomes of its task."""
    return None if isinstance(unique.lasts, WhileKind) else creation_ms + unique.lasts * 1000


def keeps_out(task: Task, unique: UniqueKey, now_ms: int) -> bool:
    """Whether ``task`` has its key ``unique`` for itself now."""
    if unique.lasts is WhileKind.PENDING:
        return task.status is Status.NEW
    if unique.lasts is WhileKind.ACTIVE:
        return task.status not in FINAL
    return now_ms < task.creation_ms + unique.lasts * 1000


def owner_of(record: Task | TaskDraft) -> str:
    """Whose share of remembered keys it takes; empty where callers are not told apart."""
    return record.created_by_user_id or record.created_by_application_id or ""
