"""The runtime protocol: how functions are invoked and deployed, and the results that an invocation can have."""

from asyncio import Future
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from taskd.model import limits
from taskd.model.function import Function
from taskd.model.logline import LogLine


class Invocation(Struct, frozen=True, gc=False):
    """One call of a function. ``payload`` is the JSON event; ``task_id`` names the call in logs."""

    task_id: str
    function_name: str
    payload: bytes
    timeout_s: float
    """How long an answer is waited for; past it the outcome is unknown."""
    owner: str | None = None
    """Who waits for it, where a runtime has to share out what it has; ``None`` if it is the queue's."""


class Success(Struct, frozen=True, gc=False):
    """The function returned ``payload`` (JSON text)."""

    payload: bytes
    logs: tuple[LogLine, ...] = ()


class FunctionError(Struct, frozen=True, gc=False):
    """The function ran and raised, timed out or crashed: Lambda's ``errorType`` and ``errorMessage``."""

    name: str
    message: str
    logs: tuple[LogLine, ...] = ()


class InvocationError(Struct, frozen=True, gc=False):
    """The function could not be invoked and did not run; ``name`` is the service's error name."""

    name: str
    message: str


class Throttled(Struct, frozen=True, gc=False):
    """The call was refused for now and the function did not run: try again later."""

    reason: str
    retry_after_s: float | None = None
    """What the service asked for, if it did."""
    everything: bool = False
    """Whether every function is refused (the account's limit, a service out of reach), not just this one."""
    overload: bool = True
    """Whether fewer calls at once would help (a rate or concurrency limit). ``False`` for a service that could
    not be reached, which is waited for without end, and for a function that is not ready yet, which is not."""


class OutcomeUnknown(Struct, frozen=True, gc=False):
    """The call may or may not have run: no answer in time, or the connection was lost after sending."""

    reason: str


InvocationResult = Success | FunctionError | InvocationError | Throttled | OutcomeUnknown


ResultCallback = Callable[[InvocationResult], None]
"""Called with the result of a call; must not raise."""


class Runtime(Protocol):
    """A place where functions run."""

    async def start(self, functions: list[Function]) -> None:
        """Makes the runtime ready; ``functions`` are those deployed in earlier runs."""

    async def stop(self) -> None:
        """Ends calls that still run (their outcome is unknown) and frees everything. Idempotent."""

    def begin(self, call: Invocation, on_result: ResultCallback) -> None:
        """Starts the call at once; ``on_result`` is called once, within this call or later. Never raises.

        For those who make many calls: a future for each, let alone a task, would cost a good part of the call itself.
        """

    def invoke(self, call: Invocation) -> "Future[InvocationResult]":
        """Starts the call at once. The future never raises and is never cancelled by the runtime."""

    async def prepare(self, function: Function, code: bytes | None) -> Function:
        """Prepares ``code`` (a zip) and returns ``function`` with its ``code_version`` set; nothing runs it yet.

        Without ``code``, prepares the function to go on with the version that it has. An external function never comes
        with code, and is not deployed, discarded or removed: its settings are read where it is, as far as may be, and
        its ``code_version`` is empty where they cannot be.

        :raises ContractError: ``INVALID_CODE`` or ``INVALID_CONFIGURATION``, saying what to do.
        """

    async def deploy(self, function: Function) -> None:
        """From now on calls of ``function.name`` run this version; running calls finish on theirs."""

    def learn(self, functions: list[Function]) -> None:
        """These are all functions there are, by whichever node they were deployed: new calls run them. Deploys none."""

    async def discard(self, function: Function) -> None:
        """Discards what was prepared, whether it was deployed or not; what runs or is deployed stays."""

    async def remove(self, function_name: str) -> None:
        """No new calls of the function; running ones finish."""

    def reload(self) -> None:
        """Reads credentials and the like anew."""


LINE_OVERHEAD_BYTES = 26
"""What a line costs beside its text, so that a million empty ones are not free; as CloudWatch counts."""


def truncation_notice(now_ms: int) -> LogLine:
    """The line that stands where the log of a call is truncated."""
    limit_mib = limits.LOG_MAX_BYTES_PER_CALL // limits.MIB
    return LogLine(now_ms, f"[taskd] The log is cut here: it is over the limit of {limit_mib} MiB a call.")
