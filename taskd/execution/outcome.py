"""From what a runtime says to what becomes of the task: pure rules, one clause per kind of result."""

from taskd.model import limits
from taskd.model.function import Function
from taskd.model.task import ZOMBIE_ERROR_NAME, ErrorType, Task, TaskDraft, TaskError
from taskd.runtime.base import FunctionError, InvocationError, OutcomeUnknown, Success
from taskd.store.base import Completed, Failed, Outcome, Retried

Ended = Success | FunctionError | InvocationError | OutcomeUnknown
"""The results that end a task; being throttled does not."""


def outcome_of(task: Task, function: Function | None, result: Ended, now_ms: int) -> Outcome:
    """What becomes of ``task``, given its function as it is known now (``None`` if it is not).

    The failure of a direct execution is its caller's to answer: the retry policy leaves it alone.
    """
    if isinstance(result, Success):
        return Completed(task.id)
    error = error_of(result)
    retry_number = len(task.retry_for_task_ids)
    if task.direct or function is None or not function.retry_policy.covers(error.name):
        return Failed(task.id, error)
    if retry_number >= len(limits.RETRY_DELAYS_MS):
        return Failed(task.id, error)
    return Retried(task.id, error, _successor(task, now_ms + limits.RETRY_DELAYS_MS[retry_number]))


def answer_within_s(function: Function | None) -> float:
    """How long an answer is waited for: the function's own limit, or the largest there is, and a margin."""
    limit_s = limits.TIME_LIMIT_MAX_S if function is None else function.time_limit_s
    return limit_s + limits.ZOMBIE_MARGIN_S


def error_of(result: FunctionError | InvocationError | OutcomeUnknown) -> TaskError:
    """The error that a task carries for this result."""
    if isinstance(result, OutcomeUnknown):
        return TaskError(ErrorType.INVOCATION, ZOMBIE_ERROR_NAME, result.reason)
    kind = ErrorType.RUNTIME if isinstance(result, FunctionError) else ErrorType.INVOCATION
    return TaskError(kind, _cut(result.name), _cut(result.message))


def _successor(task: Task, start_ms: int) -> TaskDraft:
    return TaskDraft(
        function_name=task.function_name,
        data=task.data,
        start_ms=start_ms,
        priority=task.priority,
        tags=task.tags,
        created_by_user_id=task.created_by_user_id,
        created_by_application_id=task.created_by_application_id,
        retry_for_task_ids=(*task.retry_for_task_ids, task.id),
        schedule_id=task.schedule_id,
    )


def _cut(text: str) -> str:
    return text if len(text) <= limits.ERROR_TEXT_MAX_CHARS else text[: limits.ERROR_TEXT_MAX_CHARS] + "…"
