"""What follows a failure: the rule of retries, for whoever settles a task."""

from taskd.model import limits
from taskd.model.function import Function
from taskd.model.task import ZOMBIE_ERROR_NAME, ErrorType, Task, TaskDraft, TaskError


def unknown_outcome(reason: str) -> TaskError:
    """The error of a task of which nobody can know whether it ran to its end."""
    return TaskError(ErrorType.INVOCATION, ZOMBIE_ERROR_NAME, reason)


def successor_of(task: Task, function: Function | None, error: TaskError, now_ms: int) -> TaskDraft | None:
    """The task that takes the place of ``task``, which failed with ``error``; ``None`` if that was the end of it.

    ``function`` is the task's as it is known now, ``None`` if it is not. The failure of a direct execution is its
    caller's to answer: the retry policy leaves it alone.
    """
    retry_number = len(task.retry_for_task_ids)
    if task.direct or function is None or not function.retry_policy.covers(error.name):
        return None
    if retry_number >= len(limits.RETRY_DELAYS_MS):
        return None
    return TaskDraft(
        function_name=task.function_name,
        data=task.data,
        start_ms=now_ms + limits.RETRY_DELAYS_MS[retry_number],
        priority=task.priority,
        tags=task.tags,
        created_by_user_id=task.created_by_user_id,
        created_by_application_id=task.created_by_application_id,
        retry_for_task_ids=(*task.retry_for_task_ids, task.id),
        schedule_id=task.schedule_id,
    )
