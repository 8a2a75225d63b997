"""The rules of calls that somebody waits for: which functions can be called so, and how a failure is told."""

from taskd.execution.outcome import Ended
from taskd.model import errors, limits
from taskd.model.errors import ContractError, ErrorKind
from taskd.model.function import Function
from taskd.model.task import ZOMBIE_ERROR_NAME, ErrorType, TaskError
from taskd.runtime.base import InvocationError, InvocationResult, Throttled

_BUSY_ERROR_NAME = "TooManyRequestsException"
_UNREADY_ERROR_NAME = "ServiceUnavailableException"


def require_callable(function: Function, too_long: ErrorKind) -> None:
    """Raises ``ContractError``: ``FUNCTION_DISABLED``, or ``too_long`` for a time limit that nobody waits out."""
    if not function.enabled:
        message = f"The function {function.name} is disabled; enable it to call it."
        raise ContractError(errors.FUNCTION_DISABLED, message)
    longest_s = limits.DIRECT_TIME_LIMIT_MAX_S
    if function.time_limit_s > longest_s:
        message = (
            f"The function {function.name} has a time limit of {function.time_limit_s} s; lower it to {longest_s} s."
        )
        raise ContractError(too_long, message)


def final(result: InvocationResult) -> Ended:
    """``result``, after which nothing is tried again: whoever waits is told that the call was refused."""
    if not isinstance(result, Throttled):
        return result
    name = _BUSY_ERROR_NAME if result.overload else _UNREADY_ERROR_NAME
    return InvocationError(name, f"The call was refused: {result.reason}.")


def failure_of(error: TaskError, **extra: str) -> ContractError:
    """What the waiting client is told of ``error``."""
    if error.type is ErrorType.INVOCATION:
        is_unknown = error.name == ZOMBIE_ERROR_NAME
        what = "What became of the call is not known" if is_unknown else "The function could not be invoked"
        return ContractError(errors.NOT_INVOKED, f"{what}: {error.name}: {error.message}", **extra)
    raised = {"name": error.name, "message": error.message}
    message = f"The function failed: {error.name}: {error.message}"
    return ContractError(errors.FUNCTION_FAILED, message, **extra, runtimeError=raised)
