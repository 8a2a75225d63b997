"""From what a runtime says to what becomes of the task: pure rules, one clause per kind of result."""

from taskd.model import limits
from taskd.model.function import Function
from taskd.model.retry import successor_of, unknown_outcome
from taskd.model.task import ErrorType, Task, TaskError
from taskd.runtime.base import FunctionError, InvocationError, OutcomeUnknown, Success
from taskd.store.base import Completed, Failed, Outcome, Retried

Ended = Success | FunctionError | InvocationError | OutcomeUnknown
"""The results that end a task; being throttled does not."""


def outcome_of(task: Task, function: Function | None, result: Ended, now_ms: int) -> Outcome:
    """What becomes of ``task``, given its function as it is known now (``None`` if it is not)."""
    if isinstance(result, Success):
        return Completed(task.id, result.logs)
    error = error_of(result)
    logs = result.logs if isinstance(result, FunctionError) else ()
    successor = successor_of(task, function, error, now_ms)
    return Failed(task.id, error, logs) if successor is None else Retried(task.id, error, successor, logs)


def answer_within_s(function: Function | None) -> float:
    """How long an answer is waited for: the function's own limit, or the largest there is, and a margin."""
    limit_s = limits.TIME_LIMIT_MAX_S if function is None else function.time_limit_s
    return limit_s + limits.ZOMBIE_MARGIN_S


def error_of(result: FunctionError | InvocationError | OutcomeUnknown) -> TaskError:
    """The error that a task carries for this result."""
    if isinstance(result, OutcomeUnknown):
        return unknown_outcome(result.reason)
    kind = ErrorType.RUNTIME if isinstance(result, FunctionError) else ErrorType.INVOCATION
    return TaskError(kind, _cut(result.name), _cut(result.message))


def _cut(text: str) -> str:
    return text if len(text) <= limits.ERROR_TEXT_MAX_CHARS else text[: limits.ERROR_TEXT_MAX_CHARS] + "…"
