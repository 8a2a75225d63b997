"""API requests: the record that a call of an API function leaves."""

from enum import StrEnum

from msgspec import Struct


class ApiErrorType(StrEnum):
    """Where a call went wrong: before the function ran, in the function, or with what it returned."""

    INVOCATION = "invocation"
    RUNTIME = "runtime"
    RESPONSE = "response"


class ApiRequestError(Struct, frozen=True, gc=False):
    """Why a call was answered with an error of the service instead of the function's own answer."""

    type: ApiErrorType
    name: str
    message: str


class ApiRequest(Struct, frozen=True, gc=False):
    """One call of an API function, after its answer."""

    id: str
    function_name: str
    method: str
    path: str
    """What came after the function's name: no slash in front, query included, encoded as it was sent."""
    timestamp_ms: int
    """When the call came in."""
    duration_ms: int
    status_code: int
    user_id: str | None = None
    application_id: str | None = None
    error: ApiRequestError | None = None
