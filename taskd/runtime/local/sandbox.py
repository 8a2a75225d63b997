"""A sandbox: a child process that runs one call of one function at a time.

A state machine over the requests of the runtime inside: it decides what each means for the current call, and gives
every call that it takes exactly one result. Knows nothing of HTTP, of other sandboxes, or of the calls that wait for
one.
"""

import asyncio
import signal
from collections.abc import Callable
from typing import Protocol

import msgspec
import orjson

from taskd.model import limits
from taskd.model.clock import Clock
from taskd.model.errors import TaskdError
from taskd.runtime.base import InvocationResult, OutcomeUnknown, Success
from taskd.runtime.local import failures
from taskd.runtime.local.call_queue import Call
from taskd.runtime.local.child_process import ChildProcess
from taskd.runtime.local.deployed_function import DeployedFunction
from taskd.runtime.local.failures import Logs

CallReceiver = Callable[[Call | None], None]
"""Takes a sandbox's next call to the program inside; ``None`` when there will be none."""


class RefusedError(TaskdError):
    """The runtime in the sandbox asked for something it may not have; ``kind`` is Lambda's name for that."""

    def __init__(self, http_status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.http_status = http_status
        self.kind = kind


class SandboxOwner(Protocol):
    """Assigns calls to sandboxes."""

    def sandbox_is_idle(self, sandbox: "Sandbox") -> None:
        """It has asked for its next call."""

    def sandbox_has_ended(self, sandbox: "Sandbox") -> None:
        """Its process is gone, and every call it took is settled."""


class Sandbox:
    """Begins with a call, ends with :meth:`end` or with its process."""

    def __init__(self, deployment: DeployedFunction, process: ChildProcess, owner: SandboxOwner, clock: Clock) -> None:
        self.deployment = deployment
        self.idle_since_s = 0.0
        """By the loop's clock; the owner's to keep."""
        self.ready_since_s = 0.0
        """When it first asked for a call, by the loop's clock."""
        self.answered_s = 0.0
        """When its last call got its result, by the loop's clock."""
        self.is_ending = False
        self._process = process
        self._owner = owner
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._call: Call | None = None
        self._is_delivered = False
        self._poll: CallReceiver | None = None
        self._deadline_s: float | None = None
        """By the loop's clock, while there is one."""
        self._timer: asyncio.TimerHandle | None = None
        """Fires at a deadline or before it: it is left as it is when a call ends in time."""

    @property
    def group(self) -> int | None:
        """The process group, while there is one."""
        return self._process.group

    @property
    def memory_limit_bytes(self) -> int:
        """How much the process group may have resident."""
        return self.deployment.function.memory_limit_mb * limits.MIB

    @property
    def is_busy(self) -> bool:
        """Whether there is a call that has no result yet."""
        return self._call is not None

    @property
    def is_between_calls(self) -> bool:
        """Whether it has answered a call and not asked for the next one yet."""
        return self._call is None and self._poll is None and not self.is_ending

    def begin(self, call: Call) -> "asyncio.Task[None]":
        """Starts the process for its first call; the task is done when the process and all that was its are gone."""
        self._take(call)
        return self._loop.create_task(self._run())

    async def _run(self) -> None:
        try:
            status = -signal.SIGKILL if self.is_ending else await self._process.run()
        except (OSError, ValueError) as error:
            reason = error
            self._settle(lambda request_id, logs: failures.not_started(request_id, reason, logs))
        else:
            self._settle(lambda request_id, logs: failures.exited(request_id, status, logs))
        finally:
            self.end()
            self._owner.sandbox_has_ended(self)
            await self._process.clean_up()

    def assign(self, call: Call) -> None:
        """Gives the idle sandbox its next call."""
        self._take(call)
        self._deliver(call)

    def _take(self, call: Call) -> None:
        time_limit_s = self.deployment.function.time_limit_s
        call.deadline_ms = self._clock() + int(time_limit_s * 1000)
        self._call = call
        self._deadline_s = self._loop.time() + time_limit_s
        if self._timer is None:
            self._timer = self._loop.call_at(self._deadline_s, self._look_at_deadline)

    def _look_at_deadline(self) -> None:
        """One timer serves many calls, as deadlines only move back: one for each would cost much of a call."""
        self._timer = None
        if self._deadline_s is None:
            return
        if self._deadline_s <= self._loop.time():
            self._time_out()
        else:
            self._timer = self._loop.call_at(self._deadline_s, self._look_at_deadline)

    def _deliver(self, call: Call | None) -> None:
        poll, self._poll = self._poll, None
        self._is_delivered = call is not None
        if poll is not None:
            poll(call)

    def _settle(self, result_of: Callable[[str, Logs], InvocationResult]) -> None:
        """Settles the current call, if there is one; ``result_of`` gets its request id and its log."""
        call = self._call
        if call is not None:
            # made first: if that failed, the call would still be current, and be settled at its time limit
            result = result_of(call.request_id, self._process.take_log())
            self.answered_s = self._loop.time()
            call.settle(result)
        self._call = None
        self._is_delivered = False

    def poll(self, receive: CallReceiver) -> None:
        """The runtime asks for its next call, which ``receive`` gets once, within this call or later.

        :raises RefusedError: the current call is not settled yet.
        """
        if self._is_delivered:
            raise RefusedError(403, "InvalidStateTransition", "The call in hand has no answer yet")
        was_polling = self._poll is not None
        self.ready_since_s = self.ready_since_s or self._loop.time()
        self._deliver(None)  # to a connection that the runtime has abandoned
        self._poll = receive
        if self.is_ending or self._call is not None:
            self._deliver(self._call)
        elif not was_polling:
            self._deadline_s = None
            self._owner.sandbox_is_idle(self)

    def hang_up(self, receive: CallReceiver) -> None:
        """``receive`` can take no call any more. Without it nobody asks for one."""
        if self._poll == receive:
            self.end()

    def require_current(self, request_id: str) -> None:
        """Checks that ``request_id`` is the current call: no sandbox may answer for another.

        :raises RefusedError: it is not.
        """
        if self._call is None or not self._is_delivered or self._call.request_id != request_id:
            raise RefusedError(400, "InvalidRequestID", "Invalid request ID")

    def succeed(self, request_id: str, payload: bytes) -> None:
        """The function returned ``payload``."""
        self.require_current(request_id)
        self._settle(lambda _, logs: Success(_as_json(payload), logs))

    def reject_response(self, request_id: str) -> None:
        """The function returned more than it may."""
        self.require_current(request_id)
        self._settle(lambda _, logs: failures.response_too_large(logs))

    def fail(self, request_id: str, error: bytes, error_name: str | None) -> None:
        """The function raised ``error``, a JSON object."""
        self.require_current(request_id)
        self._settle(lambda _, logs: failures.reported(error, error_name, logs))

    def fail_to_start(self, error: bytes, error_name: str | None) -> None:
        """The function could not even be loaded; the sandbox is of no use.

        :raises RefusedError: it was loaded: it has got its call.
        """
        if self._call is None or self._is_delivered:
            raise RefusedError(
                403, "InvalidStateTransition", "Only a runtime that never asked for a call can fail to start"
            )
        self._settle(lambda _, logs: failures.reported(error, error_name, logs))
        self.end()

    def _time_out(self) -> None:
        time_limit_s = self.deployment.function.time_limit_s
        self._settle(lambda request_id, logs: failures.timed_out(request_id, time_limit_s, logs))
        self.end()

    def out_of_memory(self) -> None:
        """The process group has more resident than it may."""
        self._settle(failures.out_of_memory)
        self.end()

    def end(self) -> None:
        """Kills the process group; what becomes of a call that still runs cannot be known. Idempotent."""
        if self.is_ending:
            return
        self.is_ending = True
        self._deadline_s = None
        if self._timer is not None:
            self._timer.cancel()
        self._process.kill()
        self._settle(lambda *_: OutcomeUnknown("the sandbox was ended while the call ran"))
        self._deliver(None)


def _as_json(payload: bytes) -> bytes:
    """``payload`` if it is JSON, which runtimes of one's own need not keep to; else its text as a JSON string."""
    if not payload:
        return b"null"
    try:
        msgspec.json.decode(payload, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return orjson.dumps(payload.decode(errors="replace"))
    return payload
