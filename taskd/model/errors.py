"""The error catalogue: every error a client can be answered with, and the exceptions that carry them."""

from typing import Any, NamedTuple


class ErrorKind(NamedTuple):
    """One row of the catalogue: what the wire calls the error, and the HTTP status it goes out with."""

    code: int
    http_status: int
    name: str
    meaning: str


SERVER = ErrorKind(1, 500, "SERVER_EXCEPTION", "A fault of the service; its log has the details.")
ENDPOINT = ErrorKind(5, 404, "ENDPOINT_NOT_FOUND_EXCEPTION", "There is no such path, or not with this method.")
NO_PERMISSION = ErrorKind(10, 401, "NO_PERMISSION_EXCEPTION", "The caller lacks the permission named.")
ID_FORMAT = ErrorKind(12, 400, "ID_FORMAT_EXCEPTION", "An id in the path is not 24 hex digits.")
EMPTY_BODY = ErrorKind(13, 400, "EMPTY_BODY_EXCEPTION", "The request needs a body and has none.")
MISSING_FIELDS = ErrorKind(14, 400, "MISSING_REQUIRED_FIELDS_EXCEPTION", "Required fields are absent.")
FIELD_FORMAT = ErrorKind(15, 400, "FIELD_FORMAT_EXCEPTION", "A field's value breaks its rule.")
RESOURCE_UNKNOWN = ErrorKind(16, 404, "RESOURCE_UNKNOWN_EXCEPTION", "There is no such resource.")
ALREADY_EXISTS = ErrorKind(17, 400, "RESOURCE_ALREADY_EXISTS_EXCEPTION", "The name is taken.")
INVALID_RQL = ErrorKind(19, 400, "INVALID_RQL_EXCEPTION", "The query is not valid RQL.")
EMPTY_RQL = ErrorKind(20, 400, "EMPTY_RQL_EXCEPTION", "What is to change must be said by a query.")
LONG_QUERY = ErrorKind(21, 401, "LONG_QUERY_EXCEPTION", "A listing ran past its time limit.")
BODY_FORMAT = ErrorKind(22, 400, "BODY_FORMAT_EXCEPTION", "The body is not a JSON object.")
ILLEGAL_ARGUMENT = ErrorKind(26, 400, "ILLEGAL_ARGUMENT_EXCEPTION", "The request contradicts itself.")
ILLEGAL_STATE = ErrorKind(27, 400, "ILLEGAL_STATE_EXCEPTION", "The resource's state does not allow this.")
APPLICATION_NOT_AUTHENTICATED = ErrorKind(
    101, 401, "APPLICATION_NOT_AUTHENTICATED_EXCEPTION", "The request shows no application, and needs one."
)
NOT_AUTHENTICATED = ErrorKind(
    104, 401, "USER_NOT_AUTHENTICATED_EXCEPTION", "The request shows no credentials, and needs some."
)
WRONG_PASSWORD = ErrorKind(106, 401, "AUTHENTICATION_EXCEPTION", "The email or the password is wrong.")
OAUTH1_KEY = ErrorKind(107, 401, "OAUTH_KEY_EXCEPTION", "There is no OAuth 1 consumer key like this.")
OAUTH1_TOKEN = ErrorKind(108, 401, "OAUTH_TOKEN_EXCEPTION", "The OAuth 1 token is not, or no longer, good.")
OAUTH1_SIGNATURE = ErrorKind(109, 401, "OAUTH_SIGNATURE_EXCEPTION", "The OAuth 1 signature does not fit the request.")
REPLAYED = ErrorKind(110, 401, "DUPLICATE_REQUEST_EXCEPTION", "A signed request came before, or is too old.")
ACCESS_TOKEN_UNKNOWN = ErrorKind(117, 401, "ACCESS_TOKEN_UNKNOWN_EXCEPTION", "The access token is not good.")
ACCESS_TOKEN_EXPIRED = ErrorKind(118, 401, "ACCESS_TOKEN_EXPIRED_EXCEPTION", "The access token has expired.")
REFRESH_TOKEN_UNKNOWN = ErrorKind(119, 400, "REFRESH_TOKEN_UNKNOWN_EXCEPTION", "The refresh token is not good.")
REFRESH_TOKEN_EXPIRED = ErrorKind(120, 400, "REFRESH_TOKEN_EXPIRED_EXCEPTION", "The refresh token has expired.")
OAUTH2_CLIENT_ID = ErrorKind(123, 401, "OAUTH2_CLIENT_ID_EXCEPTION", "There is no OAuth 2 client like this.")
OAUTH2_CLIENT_SECRET = ErrorKind(124, 401, "OAUTH2_CLIENT_SECRET_EXCEPTION", "The OAuth 2 client secret is wrong.")
OAUTH2_MISSING_CLIENT = ErrorKind(
    126, 400, "OAUTH2_MISSING_CLIENT_CREDENTIALS_EXCEPTION", "The OAuth 2 client credentials are missing."
)
EMAIL_USED = ErrorKind(203, 400, "EMAIL_USED_EXCEPTION", "There is a user with this email already.")
SERVICE_NOT_FOUND = ErrorKind(903, 404, "SERVICE_NOT_FOUND_EXCEPTION", "This service is not there, or switched off.")
INVALID_CODE = ErrorKind(1401, 400, "INVALID_FUNCTION_CODE_EXCEPTION", "The code is not a usable zip.")
INVALID_CONFIGURATION = ErrorKind(
    1402, 400, "INVALID_FUNCTION_CONFIGURATION_EXCEPTION", "The function cannot be run as configured."
)
CONCURRENT_EXECUTIONS = ErrorKind(
    1403, 400, "CONCURRENT_EXECUTION_LIMIT_EXCEPTION", "As many direct executions run as may at once."
)
EXECUTION_TIME_LIMIT = ErrorKind(
    1404,
    400,
    "TIME_LIMIT_EXCEEDS_DIRECT_EXECUTION_MAXIMUM_EXCEPTION",
    "The function's time limit is too long for a direct execution.",
)
NOT_INVOKED = ErrorKind(1405, 400, "LAMBDA_INVOCATION_EXCEPTION", "The function could not be invoked.")
FUNCTION_FAILED = ErrorKind(1406, 400, "LAMBDA_RUNTIME_EXCEPTION", "The function ran and failed.")
INVALID_FUNCTION_NAME = ErrorKind(
    1407, 400, "INVALID_FUNCTION_NAME_EXCEPTION", "The name of a function breaks the rule for names."
)
NO_LOGS = ErrorKind(1408, 400, "NO_TASK_LOGS_FOUND", "The task left no log lines.")
INVALID_API_RESULT = ErrorKind(
    1409, 400, "INVALID_API_FUNCTION_RESULT", "What the function returned is no answer to an HTTP request."
)
FUNCTION_DISABLED = ErrorKind(1410, 400, "FUNCTION_DISABLED_EXCEPTION", "The function is disabled.")
API_TIME_LIMIT = ErrorKind(
    1411,
    400,
    "TIME_LIMIT_EXCEEDS_API_FUNCTION_MAXIMUM_EXCEPTION",
    "The function's time limit is too long for an API function.",
)
CONCURRENT_API_CALLS = ErrorKind(
    1412, 400, "CONCURRENT_API_FUNCTION_LIMIT_EXCEPTION", "As many calls of API functions run as may at once."
)
NO_API_REQUEST_LOGS = ErrorKind(
    1413, 400, "NO_API_REQUEST_LOGS_FOUND_EXCEPTION", "The function printed nothing during the API request."
)
BODY_TOO_LARGE = ErrorKind(1414, 413, "BODY_TOO_LARGE_EXCEPTION", "The body is over the limit.")
TOO_MANY_REQUESTS = ErrorKind(1429, 429, "TOO_MANY_REQUESTS_EXCEPTION", "The admission limit is reached.")
UNAVAILABLE = ErrorKind(1503, 503, "UNAVAILABLE_EXCEPTION", "Shutting down, or nothing can be stored now.")

CATALOGUE: dict[int, ErrorKind] = {kind.code: kind for kind in list(globals().values()) if isinstance(kind, ErrorKind)}
"""Every kind by its code."""


class TaskdError(Exception):
    """The root of every exception that taskd raises on purpose."""


class ContractError(TaskdError):
    """An error that the contract names; ``extra`` are the fields its answer carries besides the usual three."""

    def __init__(self, kind: ErrorKind, message: str, **extra: Any) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.extra = extra

    def body(self) -> dict[str, Any]:
        """The JSON object that goes over the wire."""
        return {"code": self.kind.code, "name": self.kind.name, "message": self.message, **self.extra}
