"""Creations that may be answered with a task that is there already: made by one call, shown as far as one may see."""

from collections.abc import Sequence

from msgspec import UNSET, Raw
from msgspec.structs import replace

from taskd.model.caller import Caller
from taskd.model.idempotency import IdempotencyKey
from taskd.model.permissions import Permission
from taskd.model.task import Task, TaskDraft
from taskd.model.uniqueness import has_unique
from taskd.model.wire import CreatedTaskView, created_task_view
from taskd.store.base import TaskStore, UniqueResult

_NOTHING = Raw(b"{}")


async def created(store: TaskStore, drafts: Sequence[TaskDraft], key: IdempotencyKey | None) -> list[UniqueResult]:
    """The tasks of ``drafts``, or those that have their unique keys; raises what the store does."""
    if has_unique(drafts):
        return await store.add_unique(drafts, key)
    return [UniqueResult(task) for task in await store.add(drafts, key)]


def result_view(result: UniqueResult, caller: Caller) -> CreatedTaskView:
    """What ``caller`` sees of ``result``: whoever may create tasks alone learns of those of others that they are there.

    Nothing of their data, tags and errors, nor who created them. That holds for a request that is sent again, too: what
    it made may have been replaced since. And the tags of a task that was there may be those of another creator.
    """
    view = created_task_view(result.task, conflict=result.conflict)
    if caller.may(Permission.VIEW_TASKS):
        return view
    if _is_own(result.task, caller):
        return replace(view, tags=()) if result.conflict else view
    return replace(view, data=_NOTHING, tags=(), error=UNSET, created_by_user_id=UNSET, created_by_application_id=UNSET)


def _is_own(task: Task, caller: Caller) -> bool:
    created_by = (task.created_by_user_id, task.created_by_application_id)
    return caller.key is not None and created_by == (caller.user_id, caller.application_id)
