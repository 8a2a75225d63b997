"""API functions over HTTP: any request below a function's path becomes a call of it, and its answer the answer."""

from collections.abc import Iterator

from aiohttp import web

from taskd.api.http.authorization import called_function, caller_of
from taskd.api.http.client_address import ClientAddresses
from taskd.api.http.request_body import receive_body
from taskd.api.http.routing import Route
from taskd.execution.api_functions.call import ApiFunctions
from taskd.execution.api_functions.event import ApiCall
from taskd.execution.api_functions.result import ApiAnswer
from taskd.model import errors
from taskd.model.permissions import Permission
from taskd.store.base import TaskStore

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""What is routed to functions, together with HEAD: the server has every route for GET answer that as well."""

_ERRORS = (
    errors.API_TIME_LIMIT,
    errors.CONCURRENT_API_CALLS,
    errors.FUNCTION_DISABLED,
    errors.FUNCTION_FAILED,
    errors.INVALID_API_RESULT,
    errors.NOT_INVOKED,
    errors.RESOURCE_UNKNOWN,
)


class ApiFunctionHandlers:
    """Answers everything under ``/api/{name}``."""

    def __init__(
        self, store: TaskStore, api_functions: ApiFunctions, body_max_bytes: int, addresses: ClientAddresses
    ) -> None:
        self._store = store
        self._addresses = addresses
        self._api_functions = api_functions
        self._body_max_bytes = body_max_bytes

    def routes(self) -> Iterator[Route]:
        """The routes under the base path."""
        for path in ("/api/{name}", "/api/{name}/{rest:(?s:.*)}"):
            for method in METHODS:
                yield Route(
                    *(method, path, self.call, Permission.EXECUTE_API_FUNCTION),
                    tag="API functions",
                    summary="Call an API function",
                    obeys_permission_mode=True,
                    errors=_ERRORS,
                )

    async def call(self, request: web.Request) -> web.Response:
        """What the function answers."""
        function = called_function(request, self._store, Permission.EXECUTE_API_FUNCTION)
        body = await receive_body(request, self._body_max_bytes)
        call = _call(request, body, self._addresses.of(request))
        return _response(await self._api_functions.call(function, call))


def _call(request: web.Request, body: bytes, source_ip: str) -> ApiCall:
    caller, version = caller_of(request), request.version
    return ApiCall(
        method=request.method,
        path=_path_below_the_function(request),
        query=_text(request.rel_url.raw_query_string),
        headers=[(name, _text(value)) for name, value in request.headers.items()],
        body=body,
        protocol=f"HTTP/{version.major}.{version.minor}",
        source_ip=source_ip,
        user_id=caller.user_id,
        application_id=caller.application_id,
    )


def _path_below_the_function(request: web.Request) -> str:
    """What follows ``{name}`` in the path, byte for byte as it was sent: routing looks at a decoded copy."""
    resource = request.match_info.route.resource
    assert resource is not None, "only routes of ours lead here"
    depth = resource.canonical.split("/").index("{name}")
    below = request.rel_url.raw_path.split("/", depth + 1)[depth + 1 :]
    return "/" + _text("".join(below))


def _text(text: str) -> str:
    """``text``; if it holds bytes that were no UTF-8, its bytes as Latin-1, which HTTP once was."""
    if text.isascii():
        return text
    octets = text.encode("utf-8", "surrogateescape")
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return octets.decode("latin-1")


def _response(answer: ApiAnswer) -> web.Response:
    response = web.Response(status=answer.status, headers=answer.headers, body=answer.body)
    for cookie in answer.cookies:
        response.headers.add("Set-Cookie", cookie)
    return response
