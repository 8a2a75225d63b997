"""Synchronous calls: somebody waits for the function's answer. What these have in common, whatever is called.

Each runs to its end, whatever becomes of who waits, since what it began has to be put down; and the daemon lets those
that run finish when it stops.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

from taskd.execution.outcome import Ended
from taskd.model import errors, limits
from taskd.model.errors import UNAVAILABLE, ContractError, ErrorKind
from taskd.model.function import Function
from taskd.model.task import ZOMBIE_ERROR_NAME, ErrorType, TaskError
from taskd.runtime.base import InvocationError, InvocationResult, Throttled

log = logging.getLogger(__name__)

T = TypeVar("T")

_BUSY_ERROR_NAME = "TooManyRequestsException"
_UNREADY_ERROR_NAME = "ServiceUnavailableException"


class SynchronousCalls:
    """Every call under way that a client waits for. :meth:`drain`, then :meth:`join`, end it."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()
        self._stopping = False

    @property
    def in_flight(self) -> int:
        """Calls that have not come to their end."""
        return len(self._running)

    async def run(self, call: Coroutine[Any, Any, T]) -> T:
        """What ``call`` gives. It goes on when the waiting is cancelled.

        :raises ContractError: ``UNAVAILABLE`` after :meth:`drain`.
        """
        if self._stopping:
            call.close()
            raise ContractError(UNAVAILABLE, "The service is shutting down; try again soon.")
        running = self._begin(call)
        await asyncio.wait([running])  # being cancelled here leaves it running
        return running.result()

    def follow_up(self, work: Coroutine[Any, Any, None]) -> None:
        """Has ``work`` done, which belongs to a call and which nobody waits for; also while those that run finish."""
        self._begin(work).add_done_callback(_log_failure)

    async def drain(self, grace_s: float) -> int:
        """Begins no more, and waits for what runs, at most ``grace_s``. Gives how many still run. Idempotent."""
        self._stopping = True
        if self._running:
            await asyncio.wait(self._running, timeout=grace_s)
        return len(self._running)

    async def join(self) -> None:
        """Waits for all that runs. The runtime has stopped, so every call has its answer."""
        while self._running:
            await asyncio.wait(self._running)

    def _begin(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        running = asyncio.create_task(work)
        self._running.add(running)
        running.add_done_callback(self._ended)
        return running

    def _ended(self, running: "asyncio.Task[Any]") -> None:
        self._running.discard(running)
        if not running.cancelled():
            running.exception()  # looked at, in case nobody waits for it any more


def _log_failure(ended: "asyncio.Task[None]") -> None:
    if not ended.cancelled() and (error := ended.exception()) is not None:
        log.error("What follows a call has failed.", exc_info=error)


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
