"""Lambda's Runtime API on loopback, one secret address for each sandbox.

HTTP only: what a request means is decided by the sandbox. Nothing that a function sends is trusted; it reaches no
call but the current one of its own sandbox.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import hdrs, web

from taskd.model import limits
from taskd.runtime.local.call_queue import Call
from taskd.runtime.local.connection_registry import ConnectionRegistry, RegisteredConnection
from taskd.runtime.local.deployed_function import function_arn
from taskd.runtime.local.sandbox import RefusedError, Sandbox
from taskd.system.listening_site import ListeningSite

_PREFIX = "/{secret}/2018-06-01/runtime"
_KEEPALIVE_S = 3600.0
"""A runtime's connection is idle for as long as its function runs, and need not be opened again after that."""
_ERROR_NAME_HEADER = "Lambda-Runtime-Function-Error-Type"
_HEADER_MAX_BYTES = 1 << 20
"""Lambda's runtimes repeat an error, message and traceback, in a header for tracing if it is shorter than this."""
_HEADERS_MAX = 32
_BODY_MAX_BYTES = limits.LAMBDA_PAYLOAD_MAX_BYTES
_CONNECTION_OPTIONS: dict[str, Any] = {
    "access_log": None,
    "keepalive_timeout": _KEEPALIVE_S,
    "auto_decompress": False,  # a small body could become any size
    "max_field_size": _HEADER_MAX_BYTES,
    "max_headers": _HEADERS_MAX,
}

_Handler = Callable[[web.Request, Sandbox], Awaitable[web.Response]]


class RuntimeApi:
    """The server, and the sandbox of each secret address."""

    def __init__(self) -> None:
        self._sandboxes: dict[str, Sandbox] = {}
        self._posting: set[Sandbox] = set()
        self._connections = ConnectionRegistry()
        self._runner: web.AppRunner | None = None
        self._authority = ""

    async def start(self) -> None:
        """Listens on a free port of 127.0.0.1."""
        app = web.Application()
        app.router.add_get(f"{_PREFIX}/invocation/next", self._handled_by(_next))
        app.router.add_post(f"{_PREFIX}/invocation/{{request_id}}/response", self._handled_by(_response))
        app.router.add_post(f"{_PREFIX}/invocation/{{request_id}}/error", self._handled_by(_error))
        app.router.add_post(f"{_PREFIX}/init/error", self._handled_by(_init_error))
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = ListeningSite(self._runner, "127.0.0.1", 0, self._make_connection)
        await site.start()
        self._authority = site.authority

    async def stop(self) -> None:
        """Closes every connection. Idempotent."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def _make_connection(self, server: web.Server) -> RegisteredConnection:
        return RegisteredConnection(server, self._connections, _CONNECTION_OPTIONS)

    def new_address(self) -> tuple[str, str]:
        """A secret, and the value of ``AWS_LAMBDA_RUNTIME_API`` that holds it."""
        secret = secrets.token_urlsafe(24)
        return secret, f"{self._authority}/{secret}"

    def register(self, secret: str, sandbox: Sandbox) -> None:
        """Requests with ``secret`` are from ``sandbox``."""
        self._sandboxes[secret] = sandbox

    def unregister(self, sandbox: Sandbox) -> None:
        """``sandbox`` has ended: closes its connections, and its secret is void."""
        self._connections.close_all(sandbox)
        self._sandboxes = {secret: other for secret, other in self._sandboxes.items() if other is not sandbox}

    def _handled_by(self, handler: _Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            try:
                sandbox = self._caller(request)
                with self._one_post_at_a_time(request, sandbox):
                    return await handler(request, sandbox)
            except RefusedError as error:
                return _error_response(error)

        return handle

    def _caller(self, request: web.Request) -> Sandbox:
        sandbox = self._sandboxes.get(request.match_info["secret"])
        if sandbox is None:
            raise RefusedError(403, "Forbidden", "This is not the address of a sandbox")
        if not self._connections.assign(request.protocol, sandbox):
            raise RefusedError(429, "TooManyConnections", "This sandbox has as many connections as it may")
        return sandbox

    @contextmanager
    def _one_post_at_a_time(self, request: web.Request, sandbox: Sandbox) -> Iterator[None]:
        """What a function can have this process keep is one body, however many connections it sends on."""
        if request.method != hdrs.METH_POST:
            yield
            return
        if sandbox in self._posting:
            raise RefusedError(403, "InvalidStateTransition", "Another answer of this sandbox is on its way")
        self._posting.add(sandbox)
        try:
            yield
        finally:
            self._posting.remove(sandbox)


async def _next(request: web.Request, sandbox: Sandbox) -> web.Response:
    coming: asyncio.Future[Call | None] = asyncio.get_running_loop().create_future()
    sandbox.poll(lambda call: None if coming.done() else coming.set_result(call))
    call = await coming
    if call is None:
        raise RefusedError(403, "InvalidStateTransition", "There are no more calls")
    headers = {
        "Lambda-Runtime-Aws-Request-Id": call.request_id,
        "Lambda-Runtime-Deadline-Ms": str(call.deadline_ms),
        "Lambda-Runtime-Invoked-Function-Arn": function_arn(call.function_name),
    }
    return web.Response(body=call.invocation.payload, headers=headers, content_type="application/json")


async def _response(request: web.Request, sandbox: Sandbox) -> web.Response:
    request_id = request.match_info["request_id"]
    sandbox.require_current(request_id)
    payload = await _body(request)
    if payload is None:
        sandbox.reject_response(request_id)
        raise RefusedError(413, "RequestEntityTooLarge", f"The payload is larger than {_BODY_MAX_BYTES} bytes")
    sandbox.succeed(request_id, payload)
    return _accepted()


async def _error(request: web.Request, sandbox: Sandbox) -> web.Response:
    request_id = request.match_info["request_id"]
    sandbox.require_current(request_id)
    error = await _body(request)
    sandbox.fail(request_id, error or b"", request.headers.get(_ERROR_NAME_HEADER))
    return _accepted()


async def _init_error(request: web.Request, sandbox: Sandbox) -> web.Response:
    error = await _body(request)
    sandbox.fail_to_start(error or b"", request.headers.get(_ERROR_NAME_HEADER))
    return _accepted()


async def _body(request: web.Request) -> bytes | None:
    """The whole body; ``None`` if it is too large, whatever its length claims to be."""
    if (request.content_length or 0) > _BODY_MAX_BYTES:
        return None
    body = bytearray()
    try:
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > _BODY_MAX_BYTES:
                return None
    except ConnectionError as error:
        raise RefusedError(400, "InvalidRequest", "The body broke off") from error
    return bytes(body)


def _accepted() -> web.Response:
    return web.Response(status=202, text='{"status":"OK"}', content_type="application/json")


def _error_response(error: RefusedError) -> web.Response:
    return web.json_response({"errorType": error.kind, "errorMessage": str(error)}, status=error.http_status)
