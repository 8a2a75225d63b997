"""The channel of a sandbox: how taskd's own programs for Python and Node get their calls and give their results.

A pair of connected sockets, one end inherited by the program, so that nothing is asked for, nobody else can speak on
it, and a call takes one message each way. It means the same to the sandbox as the Runtime API, which programs of
others speak; the functions that run in ours have that, too.

Messages to the daemon: what it is (one byte), the body's length (u32), the id of the call (36 bytes), the body. A
result or an error also asks for the next call; a last error, or one of the start, does not. Messages to the program:
the lengths of event (u32) and ARN (u16), the deadline in milliseconds (u64), the id (36 bytes), ARN, event. Numbers are
big-endian.
"""

import asyncio
import logging
import socket
import struct
from typing import cast

from taskd.model import limits
from taskd.runtime.local.call_queue import Call
from taskd.runtime.local.deployed_function import function_arn
from taskd.runtime.local.sandbox import RefusedError, Sandbox

_log = logging.getLogger(__name__)

READY, RESULT, ERROR, LAST_ERROR, INIT_ERROR = 1, 2, 3, 4, 5
_ASKING = (READY, RESULT, ERROR)
"""The messages that ask for the next call."""
_HEAD = struct.Struct(">BI36s")
_CALL = struct.Struct(">IHQ36s")
_BODY_MAX_BYTES = limits.LAMBDA_PAYLOAD_MAX_BYTES


class ChannelError(Exception):
    """The program did not keep to the format."""


class Messages:
    """Splits what comes in on a channel into messages. Keeps one body at most, and none that is too large."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._skip_bytes = 0

    def feed(self, data: bytes) -> list[tuple[int, bytes, bytes | None]]:
        """The messages that are whole now: kind, id and body; as its body, ``None`` as soon as that is too large."""
        if not self._buffer and not self._skip_bytes and len(data) >= _HEAD.size:  # most often it is just one
            kind, length, request_id = _HEAD.unpack_from(data)
            if len(data) == _HEAD.size + length:
                return [(kind, request_id, data[_HEAD.size :])]
        self._buffer += data
        return self._split()

    def _split(self) -> list[tuple[int, bytes, bytes | None]]:
        messages: list[tuple[int, bytes, bytes | None]] = []
        self._skip()
        while len(self._buffer) >= _HEAD.size:
            kind, length, request_id = _HEAD.unpack_from(self._buffer)
            end = _HEAD.size + length
            if length > _BODY_MAX_BYTES:
                messages.append((kind, request_id, None))
                self._skip_bytes = end
                self._skip()
            elif len(self._buffer) >= end:
                messages.append((kind, request_id, bytes(self._buffer[_HEAD.size : end])))
                del self._buffer[:end]
            else:
                break
        return messages

    def _skip(self) -> None:
        skipped = min(self._skip_bytes, len(self._buffer))
        del self._buffer[:skipped]
        self._skip_bytes -= skipped


class Channel(asyncio.Protocol):
    """The daemon's end."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._messages = Messages()
        self._arn = function_arn(sandbox.deployment.function.name).encode()
        self._transport: asyncio.Transport | None = None

    async def open(self) -> socket.socket:
        """Opens the channel; returns the program's end.

        :raises OSError: there are no more sockets.
        """
        ours, theirs = socket.socketpair()
        try:
            await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=ours)
        except BaseException:
            ours.close()
            theirs.close()
            raise
        return theirs

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not a subclass

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop. A sandbox that cannot be given calls any more is of no use."""
        self._transport = None
        self._sandbox.hang_up(self._deliver)

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        try:
            for kind, request_id, body in self._messages.feed(data):
                self._take(kind, request_id.decode("ascii", "replace"), body)
        except (RefusedError, ChannelError) as error:
            _log.debug("the channel of a sandbox is closed: %s", error)
            self.close()

    def _take(self, kind: int, request_id: str, body: bytes | None) -> None:
        if kind == RESULT and body is not None:
            self._sandbox.succeed(request_id, body)
        elif kind == RESULT:
            self._sandbox.reject_response(request_id)
        elif kind in (ERROR, LAST_ERROR):
            self._sandbox.fail(request_id, body or b"", None)
        elif kind == INIT_ERROR:
            self._sandbox.fail_to_start(body or b"", None)
        elif kind != READY:
            raise ChannelError(f"there is no message {kind}")
        if kind in _ASKING:
            self._sandbox.poll(self._deliver)

    def _deliver(self, call: Call | None) -> None:
        """Sends the next call; ``None`` when there will be none."""
        if self._transport is None:
            return
        if call is None:
            self.close()
            return
        event = call.invocation.payload
        head = _CALL.pack(len(event), len(self._arn), call.deadline_ms, call.request_id.encode())
        self._transport.write(b"".join((head, self._arn, event)))

    def close(self) -> None:
        """Says nothing more. Idempotent."""
        if self._transport is not None:
            self._transport.abort()
