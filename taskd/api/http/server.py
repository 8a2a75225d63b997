"""The HTTP server: its socket, the limits and time-outs of connections, and errors below the application."""

import asyncio
import functools
import socket
from http import HTTPStatus
from typing import Any, cast

import msgspec
from aiohttp import web

from taskd.api.http.cross_origin import CrossOrigin
from taskd.api.http.error_response import RETRY_AFTER_S, error_response, fault, log
from taskd.api.http.open_connections import OpenConnections
from taskd.api.http.reading_watch import ReadingWatch
from taskd.api.http.route_table import REQUEST_SOURCE, ROUTE_TABLE, TableRouter
from taskd.model import errors, limits
from taskd.model.errors import ContractError, TaskdError
from taskd.system.listening_site import ListeningSite
from taskd.system.os_limits import descriptor_limit

KEEPALIVE_S = 75.0
"""How long a connection may idle, or take to send its headers; longer than load balancers keep theirs."""
REQUEST_LINE_MAX_BYTES = 64 * 1024
"""Wide enough that a query over its own limit is told so by the query parser."""
HEADER_MAX_BYTES = 16 * 1024
LINGER_S = 5.0
"""How long the rest of a refused body is read, so that the client gets to see the refusal."""
SHUTDOWN_S = 10.0
"""How long requests in progress are waited for when the server stops."""

_CONNECTION_OPTIONS: dict[str, Any] = {
    "keepalive_timeout": KEEPALIVE_S,
    "max_line_size": REQUEST_LINE_MAX_BYTES,
    "max_field_size": HEADER_MAX_BYTES,
    "lingering_time": LINGER_S,
    "auto_decompress": False,
    "access_log": None,
}


class ListenError(TaskdError):
    """The address cannot be listened on; the message says what to do."""


async def serve(
    app: web.Application,
    host: str,
    port: int,
    listener: socket.socket | None = None,
    *,
    connections_max: int | None = None,
    answer_stall_s: float = limits.ANSWER_STALL_S,
) -> tuple[web.AppRunner, str]:
    """Answers HTTP on ``host`` and ``port`` (0 takes a free one) until the runner's ``cleanup()`` is awaited.

    ``listener`` is a socket that listens there already. There are ``connections_max`` connections at once, or half as
    many as the process may have descriptors. Clients may read next to nothing of an answer for ``answer_stall_s``.

    :returns: the runner, and the base URL that it answers on.
    :raises ListenError: the address is taken or not ours.
    """
    runner = web.AppRunner(app, shutdown_timeout=SHUTDOWN_S, access_log=None)
    await runner.setup()
    assert runner.server is not None, "the runner is set up"
    source = app.get(REQUEST_SOURCE)
    router = TableRouter(app.get(ROUTE_TABLE, {}), runner.server.request_handler, source)
    runner.server.request_handler = CrossOrigin(source.origins, router) if source and source.origins else router
    connections = OpenConnections(connections_max or descriptor_limit() // 2)
    site = ListeningSite(runner, host, port, functools.partial(_Connection, connections, answer_stall_s), listener)
    try:
        await site.start()
    except OSError as error:
        await runner.cleanup()
        message = f"Cannot listen on {host} port {port}: {error.strerror or error}. Set another server.listen."
        raise ListenError(message) from None
    return runner, site.name


class _Connection(web.RequestHandler):
    """A connection whose own errors, too, have the contract's shape."""

    def __init__(self, connections: OpenConnections, answer_stall_s: float, server: web.Server) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **_CONNECTION_OPTIONS)
        self._connections = connections
        self._answer_stall_s = answer_stall_s
        self._watch: ReadingWatch | None = None

    @property
    def idle_until_s(self) -> float | None:
        """See :class:`taskd.api.http.open_connections.Connection`."""
        is_idle = self._waiter is not None and not self._waiter.done()
        return self._next_keepalive_close_time if is_idle else None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begins to answer, if there may be one more connection."""
        stream = cast("asyncio.Transport", transport)
        if self._connections.add(self):
            self._watch = ReadingWatch(stream, self._answer_stall_s)
            super().connection_made(stream)
        else:
            _refuse(stream, self._connections.most)

    def pause_writing(self) -> None:
        """What was written waits for its reader."""
        super().pause_writing()
        if self._watch is not None:
            self._watch.begin()

    def resume_writing(self) -> None:
        """Most of it has been read."""
        super().resume_writing()
        if self._watch is not None:
            self._watch.end()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Makes room for another."""
        self._connections.remove(self)
        if self._watch is not None:
            self._watch.end()
            self._watch = None
        super().connection_lost(exc)

    async def start(self) -> None:
        """Answers requests until no more come; what was written last must then still be read in time.

        What aiohttp fails to make a request of, such as a target whose host is no name, would end this and leave the
        connection open for ever, in use as far as anybody knows.
        """
        try:
            await super().start()
        except Exception as error:
            status = 400 if isinstance(error, ValueError) else 500
            if self.transport is not None:
                _answer_last(self.transport, _below_the_application(status, error, None))
        finally:
            if self._watch is not None:
                self._watch.begin()

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002  the signature is aiohttp's
        """Resumes if there is a pause. aiohttp asks for it after every body, and takes 3 µs where there is none."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answers what never reached the application (not HTTP, headers too large), or broke out of it."""
        if request.writer.output_size > 0:
            raise ConnectionError("A response has begun, so the error cannot be told any more.")
        response = error_response(_below_the_application(status, exc, message))
        response.force_close()
        return response


def _refuse(transport: asyncio.Transport, connections_max: int) -> None:
    """Says why, without waiting for the request, and closes."""
    transport.set_protocol(asyncio.Protocol())
    message = f"All {connections_max} connections are in use. Try again in a moment."
    _answer_last(transport, ContractError(errors.UNAVAILABLE, message))


def _answer_last(transport: asyncio.WriteTransport, error: ContractError) -> None:
    """Tells ``error`` where there is no request that a response could belong to, and closes."""
    status, body = HTTPStatus(error.kind.http_status), msgspec.json.encode(error.body())
    wait = f"Retry-After: {RETRY_AFTER_S}\r\n" if error.kind is errors.UNAVAILABLE else ""
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\nConnection: close\r\n"
        f"{wait}Content-Length: {len(body)}\r\n\r\n"
    )
    transport.write(head.encode() + body)
    transport.close()


def _below_the_application(status: int, exc: BaseException | None, message: str | None) -> ContractError:
    if status == web.HTTPBadRequest.status_code:
        log.debug("A client sent what is not a request: %s", message)
        reason = (message or "it cannot be parsed").partition("\n")[0].rstrip(":")
        return ContractError(errors.ILLEGAL_ARGUMENT, f"The request is not valid HTTP: {reason}.")
    return fault("outside of the application", exc)
