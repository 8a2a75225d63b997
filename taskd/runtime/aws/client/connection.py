"""One connection to an Invoke endpoint: writes a request, reads its response, and passes that to its owner.

It knows HTTP, one call at a time, and neither Lambda nor signatures. A connection that shows anything out
of the ordinary (bytes nobody asked for, broken HTTP, an early response) is closed, never used again.
"""

import asyncio
import select
from collections.abc import Callable, Set
from typing import Protocol, cast

import httptools
from msgspec import Struct

_JOIN_MAX_BYTES = 64 * 1024
"""Bodies up to this size are copied behind their heads, so that both leave in one write."""


class Response(Struct, gc=False):
    """A complete response. Of the headers only those asked for, by lower-case name."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes
    oversized: bool = False
    """The body went past the limit, so it was dropped and the connection closed."""


class ConnectionOwner(Protocol):
    """Receives the events of a connection."""

    def response_received(self, connection: "Connection", response: Response) -> None:
        """The response to the request that was sent; the connection can be used again unless it is closing."""

    def connection_lost(self, connection: "Connection", reason: str) -> None:
        """The connection is closed; a response that was waited for will not come."""


class Connection(asyncio.Protocol):
    """A client's end of an HTTP/1.1 connection.

    ``headers_kept`` names the headers to collect; ``response_max_bytes`` bounds a response, head and framing
    included.
    """

    __slots__ = (
        "_awaiting_response",
        "_body",
        "_complete",
        "_headers",
        "_headers_kept",
        "_max_bytes",
        "_owner",
        "_parser",
        "_poll",
        "_reason",
        "_received_bytes",
        "_status",
        "_transport",
    )

    def __init__(self, owner: ConnectionOwner, headers_kept: Set[bytes], response_max_bytes: int) -> None:
        self._owner = owner
        self._headers_kept = headers_kept
        self._max_bytes = response_max_bytes
        self._parser: httptools.HttpResponseParser | None = None
        self._transport: asyncio.Transport | None = None
        self._reason = "the connection was closed before the answer was complete"
        self._poll = select.poll()
        self._awaiting_response = False
        self._reset()

    def _reset(self) -> None:
        self._status = 0
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._received_bytes = 0
        self._complete = False

    @property
    def is_usable(self) -> bool:
        """Whether a request may be sent now."""
        return self._transport is not None and not self._transport.is_closing() and not self._awaiting_response

    def send(self, head: bytes, body: bytes) -> None:
        """Sends a request; the owner receives its response. The connection has to be usable."""
        assert self._transport is not None
        self._awaiting_response = True
        self._reset()
        if len(body) <= _JOIN_MAX_BYTES:
            self._transport.write(head + body)
        else:
            self._transport.writelines((head, body))

    def is_readable(self) -> bool:
        """Whether the peer has closed or sent anything, as far as the kernel knows."""
        return bool(self._poll.poll(0))

    def abort(self, reason: str) -> None:
        """Closes the connection at once. The owner gets ``reason`` soon, not from within this call."""
        self._reason = reason
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not a subclass
        self._parser = httptools.HttpResponseParser(self)
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop."""
        self._transport = self._parser = None  # the parser holds on to this object: break the cycle
        self._awaiting_response = False
        self._owner.connection_lost(self, f"{self._reason}: {exc}" if exc else self._reason)

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        self._received_bytes += len(data)
        if not self._awaiting_response:
            self.abort("the peer sent what it was not asked for")
        elif self._received_bytes > self._max_bytes:
            self._abort_oversized()
        else:
            self._parse(data)

    def _parse(self, data: bytes) -> None:
        assert self._parser is not None
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.abort(f"the answer is not HTTP: {error}")
        if self._complete:
            self._deliver(Response(self._status, self._headers, b"".join(self._body)))

    def _abort_oversized(self) -> None:
        """Where the head arrived, the status still tells what became of the call."""
        self.abort("the answer is too large")
        if self._status:
            self._deliver(Response(self._status, self._headers, b"", oversized=True))

    def _deliver(self, response: Response) -> None:
        self._awaiting_response = False
        assert self._transport is not None
        if self._transport.get_write_buffer_size():
            self.abort("the answer came before the whole request was written")
        self._owner.response_received(self, response)

    def on_message_begin(self) -> None:
        """Called by the parser. A second response means that the peer is out of step."""
        if self._complete:
            self.abort("the peer sent what it was not asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        name = name.lower()
        if name in self._headers_kept and not self._complete:
            self._headers[name] = value

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        assert self._parser is not None
        if not self._complete:
            self._status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        if not self._complete:
            self._body.append(body)

    def on_message_complete(self) -> None:
        """Called by the parser. An interim response (1xx) is not the response."""
        assert self._parser is not None
        if self._complete:
            return
        if self._status < 200:
            self._status = 0
            self._headers.clear()
            return
        self._complete = True
        if not self._parser.should_keep_alive():
            self.abort("the peer wants to close the connection")


ConnectionFactory = Callable[[], Connection]
