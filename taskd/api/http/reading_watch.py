"""Ends connections whose clients read next to nothing of what they were sent.

What was written waits in memory, first in the process, then in the kernel. A client that stops reading would keep it
there, and its connection, for as long as it likes.
"""

import asyncio
import contextlib
import fcntl
import logging
import socket
import struct
import termios

log = logging.getLogger(__name__)

READING_MIN_BYTES_PER_S = 1024
"""Whoever reads more slowly than this, over the whole time that it may stall, counts as not reading."""

_LINGER_NOT = struct.pack("ii", 1, 0)
_INT = struct.Struct("i")


class ReadingWatch:
    """Watches one connection from :meth:`begin` to :meth:`end`."""

    def __init__(self, transport: asyncio.Transport, stall_s: float) -> None:
        self._transport = transport
        self._stall_s = stall_s
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._unread_bytes = 0

    def begin(self) -> None:
        """What was written waits: the client must read on from now on. Nothing happens if nothing waits."""
        self.end()
        self._unread_bytes = unread_bytes(self._transport)
        if self._unread_bytes:
            self._timer = self._loop.call_later(self._stall_s, self._look)

    def end(self) -> None:
        """The client has read enough, or is gone. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        read_bytes = self._unread_bytes - unread_bytes(self._transport)
        if read_bytes < min(self._unread_bytes, READING_MIN_BYTES_PER_S * self._stall_s):
            log.debug("A client read %d bytes of its answer in %g s. It is ended.", read_bytes, self._stall_s)
            drop(self._transport)
        else:
            self.begin()


def drop(transport: asyncio.Transport) -> None:
    """Ends a connection at once, with what waits in the kernel, which would try for as long as it takes."""
    connection: socket.socket | None = transport.get_extra_info("socket")
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
    transport.abort()


def unread_bytes(transport: asyncio.Transport) -> int:
    """How much of what was written the other side has not taken yet, as far as the system tells."""
    waiting = transport.get_write_buffer_size()
    connection: socket.socket | None = transport.get_extra_info("socket")
    if not waiting or connection is None:
        return waiting
    try:
        return waiting + int(_INT.unpack(fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, _INT.pack(0)))[0])
    except (OSError, ValueError):  # not every system tells this of a socket, and none of a closed one
        return waiting
