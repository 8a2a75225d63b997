"""The failures of a sandbox, in the names and words that Lambda has for them.

Knows only what happened, not how it is detected.
"""

import errno
import signal
from typing import Any

import orjson

from taskd.model import limits
from taskd.model.logline import LogLine
from taskd.runtime.base import FunctionError, InvocationError, Throttled

Logs = tuple[LogLine, ...]
FailedStart = FunctionError | InvocationError | Throttled

EXHAUSTION_ERRNOS = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC})
"""The machine has no process, memory, file descriptor or disk space left just now."""
_UNKNOWN_NAME = "Runtime.Unknown"
_TOO_DEEP = "(nested too deeply to be shown)"
_NAME_MAX_CHARS = 256
_MESSAGE_MAX_CHARS = 32 * 1024
"""An error message is kept with its task; Lambda's own limit, the payload's, is far too much for that."""


def timed_out(request_id: str, time_limit_s: float, logs: Logs) -> FunctionError:
    """The function was still running at its time limit and was killed."""
    message = f"RequestId: {request_id} Error: Task timed out after {time_limit_s:.2f} seconds"
    return FunctionError("Sandbox.Timedout", message, logs)


def out_of_memory(request_id: str, logs: Logs) -> FunctionError:
    """The function went over its memory limit and was killed."""
    return FunctionError("Runtime.OutOfMemory", _exit_message(request_id, -signal.SIGKILL), logs)


def exited(request_id: str, status: int, logs: Logs) -> FunctionError:
    """The process ended by itself in the middle of the call; ``status`` is negative for a signal."""
    return FunctionError("Runtime.ExitError", _exit_message(request_id, status), logs)


def _exit_message(request_id: str, status: int) -> str:
    if status == 0:
        return f"RequestId: {request_id} Error: Runtime exited without providing a reason"
    if status > 0:
        return f"RequestId: {request_id} Error: Runtime exited with error: exit status {status}"
    description = (signal.strsignal(-status) or str(-status)).lower()
    return f"RequestId: {request_id} Error: Runtime exited with error: signal: {description}"


def response_too_large(logs: Logs) -> FunctionError:
    """The function returned more than a synchronous call may."""
    limit = limits.LAMBDA_PAYLOAD_MAX_BYTES
    message = f"Response payload size exceeded maximum allowed payload size ({limit} bytes)."
    return FunctionError("Function.ResponseSizeTooLarge", message, logs)


def reported(body: bytes, header_name: str | None, logs: Logs) -> FunctionError:
    """What the runtime in the sandbox said of an error: a JSON object, if it keeps to Lambda's format."""
    error = _json_object(body)
    name = _text(error.get("errorType")) or _printable(header_name or _UNKNOWN_NAME)
    message = _text(error.get("errorMessage"))
    return FunctionError(name[:_NAME_MAX_CHARS], message[:_MESSAGE_MAX_CHARS], logs)


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {"errorMessage": body.decode(errors="replace")}
    return value if isinstance(value, dict) else {"errorMessage": value}


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    try:
        return "" if value is None else orjson.dumps(value).decode()
    except orjson.JSONEncodeError:  # it reads deeper nesting than it writes
        return _TOO_DEEP


def _printable(header: str) -> str:
    """A header may hold bytes that are no text, and nothing could store them as such."""
    return header.encode(errors="replace").decode()


def not_started(request_id: str, error: OSError | ValueError, logs: Logs) -> FailedStart:
    """There is no process, because of the machine, the function's program, or (a NUL in it) its configuration."""
    if not isinstance(error, OSError):
        return InvocationError("InvalidParameterValueException", f"The function cannot be started: {error}.")
    if error.errno in EXHAUSTION_ERRNOS:
        return Throttled(f"a sandbox could not be started: {error.strerror}", everything=True)
    reason = (error.strerror or str(error)).lower()
    message = f"RequestId: {request_id} Error: fork/exec {error.filename}: {reason}"
    return FunctionError("Runtime.InvalidEntrypoint", message, logs)


def unknown_function(name: str) -> InvocationError:
    """No function of that name is deployed."""
    return InvocationError("ResourceNotFoundException", f"Function not found: {name}")


def code_lost(name: str) -> InvocationError:
    """The function is known, its code is gone from the disk."""
    message = f"The code of function {name} is no longer on this machine: deploy the function again."
    return InvocationError("ResourceNotFoundException", message)


def unrunnable(message: str) -> InvocationError:
    """The function's configuration is one that this machine cannot run."""
    return InvocationError("InvalidRuntimeException", message)


def no_sandbox(waited_s: float) -> Throttled:
    """Every sandbox stayed busy for as long as the call could wait; the function did not run."""
    return Throttled(f"no sandbox became free within {waited_s:g} s; allow more with [local] max_sandboxes")


def shutting_down() -> Throttled:
    """The runtime stops; the function did not run."""
    return Throttled("the runtime is shutting down", everything=True, overload=False)
