"""What follows a failure: the rule of retries, for whoever settles a task."""

from zlib import crc32

from taskd.model.function import Function, RetryPolicy
from taskd.model.task import ZOMBIE_ERROR_NAME, ErrorType, Task, TaskDraft, TaskError
from taskd.model.task_extras import inherited


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
    if retry_number >= len(function.retry_policy.delays_ms):
        return None
    return TaskDraft(
        function_name=task.function_name,
        data=task.data,
        start_ms=now_ms + _delay_ms(function.retry_policy, retry_number, task.id),
        priority=task.priority,
        tags=task.tags,
        created_by_user_id=task.created_by_user_id,
        created_by_application_id=task.created_by_application_id,
        retry_for_task_ids=(*task.retry_for_task_ids, task.id),
        schedule_id=task.schedule_id,
        extras=inherited(task.extras),
    )


def _delay_ms(policy: RetryPolicy, retry_number: int, task_id: str) -> int:
    """How long until the next try. What the jitter adds is the same for the same task, and spread evenly over tasks."""
    delay_ms = policy.delays_ms[retry_number]
    return delay_ms + int(delay_ms * policy.jitter * crc32(task_id.encode()) / 2**32)
