"""What the document says of each route beyond what the route says itself: one entry a route.

A new route needs an entry in ``OPERATIONS``, under its method and its whole path without a trailing slash (``*``
stands for every method); a test fails until it is there. Path parameters, permissions, and the errors that follow
from credentials, a body, a query or an id need no mention; the longer description is the handler's docstring.
"""

from typing import Any

from msgspec import UNSET, Raw, Struct, UnsetType

from taskd.api.http.pages import LogPage, RecordPage
from taskd.api.validation.function_body import FunctionBody, FunctionUpdateBody
from taskd.api.validation.task_body import ExecutionBody, ScheduleBody, TaskBody
from taskd.model import errors
from taskd.model.errors import ErrorKind
from taskd.model.permissions import Permission
from taskd.model.wire import (
    AffectedRecords,
    ApiRequestView,
    FunctionLogLineView,
    FunctionRow,
    FunctionView,
    LogLineView,
    ScheduleView,
    TaskView,
)


class ErrorAnswer(Struct):
    """Every error. Some have more fields than these, as their entry in the catalogue says."""

    code: int
    name: str
    message: str


class OAuth2ErrorAnswer(Struct):
    """An error in the shape of RFC 6749; ``exh_error`` says what the catalogue calls it."""

    error: str
    error_description: str
    exh_error: dict[str, Any] | UnsetType = UNSET


class Operation(Struct, frozen=True, kw_only=True):
    """What one route does."""

    tag: str
    """The chapter that it stands in."""
    summary: str
    """What a caller wants of it, in a few words."""
    answer: Any = None
    """The type of a successful answer; ``None`` if that is not JSON of ours."""
    request: Any = None
    """The type of the body; ``None`` if there is none."""
    is_request_optional: bool = False
    errors: tuple[ErrorKind, ...] = ()
    """Errors of its own."""
    error_answer: type[Struct] = ErrorAnswer
    takes_query: bool = False
    """Whether the query string is RQL."""
    is_idempotent: bool = False
    """Whether it looks at the header ``Idempotency-Key``."""
    calls_with: Permission | None = None
    """What calling a function takes, unless the function's permission mode asks for less."""
    is_open: bool = False
    """Whether it answers whoever asks."""


class ExecutedTask(TaskView, kw_only=True):
    """A task that was executed directly, and what its function returned."""

    result: Any


class CreatedIds(Struct):
    """The ids of the tasks created, in the order of the request."""

    ids: list[str]


class Health(Struct, rename="camel"):
    """How the daemon is: ``status`` is ``ok``, or else says why not.

    ``lostHistory`` says which ends of tasks were found lost at the start, where any were. Nothing that is to come
    depends on it, so the daemon counts as well.
    """

    status: str
    lost_history: str | None = None


class OAuth1TokenBody(Struct):
    """The credentials of a user."""

    email: str
    password: str


class OAuth1Token(Struct, rename="camel"):
    """A token to sign requests with."""

    id: str
    token: str
    token_secret: str
    user_id: str
    application_id: str


class OAuth2TokenBody(Struct):
    """A grant: ``password`` needs ``username`` and ``password``, ``refresh_token`` needs ``refresh_token``."""

    grant_type: str
    client_id: str
    client_secret: str | UnsetType = UNSET
    username: str | UnsetType = UNSET
    password: str | UnsetType = UNSET
    refresh_token: str | UnsetType = UNSET


class OAuth2Tokens(Struct):
    """Tokens; ``expires_in`` is in seconds."""

    access_token: str
    token_type: str
    expires_in: int
    application_id: str
    refresh_token: str | UnsetType = UNSET
    user_id: str | UnsetType = UNSET


class UserView(Struct):
    """The user behind a request."""

    id: str
    email: str
    first_name: str
    last_name: str
    roles: list[Raw]


_TASKS = "Tasks"
_SCHEDULES = "Schedules"
_FUNCTIONS = "Functions"
_API = "API functions"
_ACCOUNTS = "Accounts"
_SERVICE = "Service"

_RUNNING_ERRORS = (errors.NOT_INVOKED, errors.FUNCTION_FAILED, errors.FUNCTION_DISABLED, errors.RESOURCE_UNKNOWN)
_EXECUTION_ERRORS = (errors.CONCURRENT_EXECUTIONS, errors.EXECUTION_TIME_LIMIT, *_RUNNING_ERRORS)
_CALL_ERRORS = (errors.CONCURRENT_API_CALLS, errors.API_TIME_LIMIT, errors.INVALID_API_RESULT, *_RUNNING_ERRORS)
_CODE_ERRORS = (errors.INVALID_CODE, errors.INVALID_CONFIGURATION)
_LOGIN_ERRORS = (errors.WRONG_PASSWORD, errors.TOO_MANY_REQUESTS)

_CALL = Operation(
    tag=_API, summary="Call an API function", errors=_CALL_ERRORS, calls_with=Permission.EXECUTE_API_FUNCTION
)

OPERATIONS: dict[tuple[str, str], Operation] = {
    ("GET", "/tasks/v1"): Operation(tag=_TASKS, summary="List tasks", answer=RecordPage[TaskView], takes_query=True),
    ("POST", "/tasks/v1"): Operation(
        tag=_TASKS, summary="Create a task", request=TaskBody, answer=TaskView, is_idempotent=True
    ),
    ("POST", "/tasks/v1/bulk"): Operation(
        tag=_TASKS, summary="Create many tasks", request=list[TaskBody], answer=CreatedIds, is_idempotent=True
    ),
    ("POST", "/tasks/v1/{id}/cancel"): Operation(
        tag=_TASKS, summary="Cancel a task", answer=AffectedRecords, errors=(errors.ILLEGAL_STATE,)
    ),
    ("GET", "/tasks/v1/{id}/logs"): Operation(
        tag=_TASKS,
        summary="Read a task's log",
        answer=LogPage[LogLineView],
        takes_query=True,
        errors=(errors.ILLEGAL_STATE, errors.NO_LOGS),
    ),
    ("GET", "/tasks/v1/schedules"): Operation(
        tag=_SCHEDULES, summary="List schedules", answer=RecordPage[ScheduleView], takes_query=True
    ),
    ("POST", "/tasks/v1/schedules"): Operation(
        tag=_SCHEDULES, summary="Create a schedule", request=ScheduleBody, answer=ScheduleView
    ),
    ("DELETE", "/tasks/v1/schedules/{id}"): Operation(
        tag=_SCHEDULES, summary="Delete a schedule", answer=AffectedRecords
    ),
    ("GET", "/tasks/v1/functions"): Operation(tag=_FUNCTIONS, summary="List functions", answer=RecordPage[FunctionRow]),
    ("POST", "/tasks/v1/functions"): Operation(
        tag=_FUNCTIONS,
        summary="Create a function",
        request=FunctionBody,
        answer=FunctionView,
        errors=(errors.ALREADY_EXISTS, *_CODE_ERRORS),
    ),
    ("GET", "/tasks/v1/functions/{name}"): Operation(
        tag=_FUNCTIONS, summary="Look at a function", answer=FunctionView, errors=(errors.RESOURCE_UNKNOWN,)
    ),
    ("PUT", "/tasks/v1/functions/{name}"): Operation(
        tag=_FUNCTIONS,
        summary="Change a function",
        request=FunctionUpdateBody,
        answer=AffectedRecords,
        errors=(errors.RESOURCE_UNKNOWN, *_CODE_ERRORS),
    ),
    ("DELETE", "/tasks/v1/functions/{name}"): Operation(
        tag=_FUNCTIONS, summary="Delete a function", answer=AffectedRecords, errors=(errors.RESOURCE_UNKNOWN,)
    ),
    ("POST", "/tasks/v1/functions/{name}/enable"): Operation(
        tag=_FUNCTIONS, summary="Enable a function", answer=AffectedRecords, errors=(errors.RESOURCE_UNKNOWN,)
    ),
    ("POST", "/tasks/v1/functions/{name}/disable"): Operation(
        tag=_FUNCTIONS, summary="Disable a function", answer=AffectedRecords, errors=(errors.RESOURCE_UNKNOWN,)
    ),
    ("POST", "/tasks/v1/functions/{name}/execute"): Operation(
        tag=_FUNCTIONS,
        summary="Execute a function at once",
        request=ExecutionBody,
        is_request_optional=True,
        answer=ExecutedTask,
        errors=_EXECUTION_ERRORS,
        calls_with=Permission.EXECUTE_TASK_FUNCTION,
    ),
    ("GET", "/tasks/v1/functions/{name}/logs"): Operation(
        tag=_FUNCTIONS,
        summary="Read a function's log",
        answer=LogPage[FunctionLogLineView],
        takes_query=True,
        errors=(errors.RESOURCE_UNKNOWN, errors.ILLEGAL_ARGUMENT),
    ),
    ("*", "/tasks/v1/api/{name}"): _CALL,
    ("*", "/tasks/v1/api/{name}/{rest}"): _CALL,
    ("GET", "/tasks/v1/apiRequests"): Operation(
        tag=_API, summary="List API requests", answer=RecordPage[ApiRequestView], takes_query=True
    ),
    ("GET", "/tasks/v1/apiRequests/{id}/logs"): Operation(
        tag=_API,
        summary="Read an API request's log",
        answer=LogPage[LogLineView],
        takes_query=True,
        errors=(errors.NO_API_REQUEST_LOGS,),
    ),
    ("POST", "/auth/v2/oauth1/tokens"): Operation(
        tag=_ACCOUNTS,
        summary="Log in for an OAuth 1 token",
        request=OAuth1TokenBody,
        answer=OAuth1Token,
        errors=(errors.APPLICATION_NOT_AUTHENTICATED, errors.OAUTH1_KEY, errors.OAUTH1_SIGNATURE, *_LOGIN_ERRORS),
        is_open=True,
    ),
    ("POST", "/auth/v2/oauth2/tokens"): Operation(
        tag=_ACCOUNTS,
        summary="Log in for OAuth 2 tokens",
        request=OAuth2TokenBody,
        answer=OAuth2Tokens,
        errors=(errors.OAUTH2_CLIENT_ID, *_LOGIN_ERRORS),
        error_answer=OAuth2ErrorAnswer,
        is_open=True,
    ),
    ("GET", "/users/v1/me"): Operation(tag=_ACCOUNTS, summary="Ask who is calling", answer=UserView),
    ("GET", "/health"): Operation(
        tag=_SERVICE, summary="Ask whether the daemon is well", answer=Health, is_open=True, error_answer=Health
    ),
    ("GET", "/metrics"): Operation(tag=_SERVICE, summary="Read the metrics", is_open=True),
    ("GET", "/tasks/v1/openapi.json"): Operation(
        tag=_SERVICE, summary="Read this document", answer=dict[str, Any], is_open=True
    ),
    ("GET", "/tasks/v1/docs"): Operation(tag=_SERVICE, summary="Read this document as a page", is_open=True),
}
