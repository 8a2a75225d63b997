"""What a response of the Invoke API means: one pure function over status, headers and body.

Only an answer which proves that the function did not run, and which passes with time, becomes
``Throttled``: the call is then made again. Everything else ends it. A named service error becomes
``InvocationError`` under the service's own name, also ``ServiceException`` (500), where Lambda does not
promise that the function never started: the name is the best that is known, and as the call is not made
again by itself nothing runs twice. A server error without a name comes from something in between (a load
balancer, a proxy) that cannot know what became of the call, so its outcome is unknown.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import NamedTuple

from taskd.model.limits import LAMBDA_PAYLOAD_MAX_BYTES
from taskd.runtime.aws.log_tail import is_truncated, read_log_tail
from taskd.runtime.base import (
    FunctionError,
    InvocationError,
    InvocationResult,
    OutcomeUnknown,
    Success,
    Throttled,
)

FUNCTION_ERROR = b"x-amz-function-error"
LOG_RESULT = b"x-amz-log-result"
ERROR_TYPE = b"x-amzn-errortype"
RETRY_AFTER = b"retry-after"
REQUEST_ID = b"x-amzn-requestid"
HEADERS_READ = frozenset((FUNCTION_ERROR, LOG_RESULT, ERROR_TYPE, RETRY_AFTER, REQUEST_ID))
"""The names, in lower case, of the only headers that matter here."""

_REQUEST_ID_FORMAT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

EXPIRED_CREDENTIALS = ("ExpiredTokenException", "ExpiredToken")
"""The names of the errors that new credentials cure."""


class _Throttle(NamedTuple):
    """Which calls are throttled, and whether fewer at once would help."""

    everything: bool
    overload: bool


_ACCOUNT_OVERLOADED = _Throttle(everything=True, overload=True)
_FUNCTION_OVERLOADED = _Throttle(everything=False, overload=True)
_FUNCTION_NOT_READY = _Throttle(everything=False, overload=False)
_ACCOUNT_NOT_READY = _Throttle(everything=True, overload=False)

_THROTTLE_REASONS = {
    "ConcurrentInvocationLimitExceeded": _ACCOUNT_OVERLOADED,
    "CallerRateLimitExceeded": _ACCOUNT_OVERLOADED,
    "ReservedFunctionConcurrentInvocationLimitExceeded": _FUNCTION_OVERLOADED,
    "ReservedFunctionInvocationRateLimitExceeded": _FUNCTION_OVERLOADED,
    "FunctionInvocationRateLimitExceeded": _FUNCTION_OVERLOADED,
    "ConcurrentSnapshotCreateLimitExceeded": _FUNCTION_NOT_READY,
}
_TRANSIENT_ERRORS = {
    "ThrottlingException": _ACCOUNT_OVERLOADED,
    # A network interface cannot be made this moment: new environments of the function come too fast.
    "EC2ThrottledException": _FUNCTION_OVERLOADED,
    "ENILimitReachedException": _FUNCTION_OVERLOADED,
    # The function, its network or its snapshot is still being set up.
    "ENINotReadyException": _FUNCTION_NOT_READY,
    "ResourceNotReadyException": _FUNCTION_NOT_READY,
    "ResourceConflictException": _FUNCTION_NOT_READY,
    "SnapStartNotReadyException": _FUNCTION_NOT_READY,
    "SnapStartRegenerationFailureException": _FUNCTION_NOT_READY,
    "CodeArtifactUserPendingException": _FUNCTION_NOT_READY,
    "CodeArtifactUserDeletedException": _FUNCTION_NOT_READY,
    # Temporary credentials ran out; they are being renewed.
    **dict.fromkeys(EXPIRED_CREDENTIALS, _ACCOUNT_NOT_READY),
}


def classify(status: int, headers: Mapping[bytes, bytes], body: bytes, now_ms: int) -> InvocationResult:
    """What a complete response means. Never raises.

    ``headers`` are by lower-case name; ``now_ms`` stamps the log lines.
    """
    if status == 200:
        return _function_result(headers, body, now_ms)
    if 200 <= status < 300:
        return OutcomeUnknown(f"The answer has status {status} and so no result.")
    return _service_error(status, headers, body)


def classify_oversized(status: int, headers: Mapping[bytes, bytes]) -> InvocationResult:
    """What a response with a body over the limit means: if the function ran, what Lambda says then."""
    if status == 200:
        limit = f"({LAMBDA_PAYLOAD_MAX_BYTES} bytes)"
        message = f"Response payload size exceeded maximum allowed payload size {limit}."
        return FunctionError("Function.ResponseSizeTooLarge", message)
    return classify(status, headers, b"", 0)


def truncated_log_request_id(headers: Mapping[bytes, bytes]) -> str | None:
    """The request id by which the whole log of a call can be found, if its response holds but the end of it."""
    tail = headers.get(LOG_RESULT)
    if tail is None or not is_truncated(tail):
        return None
    request_id = headers.get(REQUEST_ID, b"").decode("ascii", "replace")
    return request_id if _REQUEST_ID_FORMAT.fullmatch(request_id) else None


def _function_result(headers: Mapping[bytes, bytes], body: bytes, now_ms: int) -> InvocationResult:
    tail = headers.get(LOG_RESULT)
    logs = read_log_tail(tail, now_ms) if tail else ()
    kind = headers.get(FUNCTION_ERROR)
    if kind is None:
        return Success(body or b"null", logs)
    error = read_object(body)
    name = error_field(error, "errorType") or kind.decode("ascii", "replace") or "Unhandled"
    return FunctionError(name, error_field(error, "errorMessage") or error_text(body), logs)


def _service_error(status: int, headers: Mapping[bytes, bytes], body: bytes) -> InvocationResult:
    error = read_object(body)
    name = _error_name(headers, error)
    if status == 429:
        return _throttled(headers, error, name)
    if throttle := _TRANSIENT_ERRORS.get(name):
        return Throttled(name, _retry_after_s(headers, error), throttle.everything, throttle.overload)
    if not name and status >= 500:
        return OutcomeUnknown(f"The answer has status {status} and names no error of Lambda's.")
    message = error_field(error, "message", "Message", "errorMessage") or error_text(body)
    return InvocationError(name or f"HTTP{status}", message or f"The service answered with status {status}.")


def _throttled(headers: Mapping[bytes, bytes], error: Mapping[str, object], name: str) -> Throttled:
    """A reason that is not known counts as the account's: holding back too much does no harm."""
    reason = error_field(error, "Reason", "reason")
    throttle = _THROTTLE_REASONS.get(reason, _ACCOUNT_OVERLOADED)
    name = reason or name or "TooManyRequestsException"
    return Throttled(name, _retry_after_s(headers, error), throttle.everything, throttle.overload)


def _error_name(headers: Mapping[bytes, bytes], error: Mapping[str, object]) -> str:
    """The service's error name: ``com.amazonaws#NameException:http://...`` is ``NameException``."""
    header = headers.get(ERROR_TYPE, b"").decode("ascii", "replace")
    name = header or error_field(error, "__type", "code", "Code")
    if not name:
        kind = error_field(error, "Type", "type")  # mostly "User" or "Service", which is no name
        name = kind if kind.endswith("Exception") else ""
    return name.split(":", 1)[0].rsplit("#", 1)[-1].strip()


def _retry_after_s(headers: Mapping[bytes, bytes], error: Mapping[str, object]) -> float | None:
    text = headers.get(RETRY_AFTER, b"").decode("ascii", "replace") or error_field(error, "retryAfterSeconds")
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


_TEXT_MAX_CHARS = 1000


def read_object(body: bytes) -> Mapping[str, object]:
    """The JSON object that ``body`` is; an empty one if it is anything else."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def error_field(error: Mapping[str, object], *names: str) -> str:
    """The first field of these names that holds something, as text; else an empty string."""
    for name in names:
        value = error.get(name)
        if value is not None and value != "":
            return _encodable(value if isinstance(value, str) else _as_json(value))
    return ""


def error_text(body: bytes) -> str:
    """The beginning of a body that has no message in the expected place."""
    return body[: 4 * _TEXT_MAX_CHARS].decode("utf-8", "replace")[:_TEXT_MAX_CHARS].strip()


def _as_json(value: object) -> str:
    try:
        return json.dumps(value)
    except RecursionError:
        return ""


def _encodable(text: str) -> str:
    """Half a surrogate pair, which JSON can spell and UTF-8 cannot, becomes a question mark."""
    return text.encode("utf-8", "replace").decode()
