"""Captures what a function prints: reads its pipe, splits it into lines, and truncates the log of each call.

Knows nothing of processes; whoever owns one passes it the pipe's other end.
"""

import asyncio
import os

from taskd.model import limits
from taskd.model.clock import Clock
from taskd.model.logline import LogLine
from taskd.runtime.base import LINE_OVERHEAD_BYTES, truncation_notice

_READ_BYTES = 64 * 1024
_INNER_LINE_END = b"\r\0"
"""What bootstrap.mjs prints for the line ends inside what is one line of the log, as one call of the console is."""
_PIPE_MAX_BYTES = limits.MIB
"""No pipe holds more (Linux lets an unprivileged process enlarge one to this)."""


class CallLog:
    """The lines of the call under way; at most ``LOG_MAX_BYTES_PER_CALL`` of them are kept."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._begin()

    def _begin(self) -> None:
        self._lines: list[LogLine] = []
        self._unfinished = bytearray()
        self._left_bytes = limits.LOG_MAX_BYTES_PER_CALL
        self._is_truncated = False

    def feed(self, chunk: bytes) -> None:
        """Takes in what was just printed; a line may come in any number of pieces."""
        if self._is_truncated:
            return
        now_ms = self._clock()
        first, *others = chunk.split(b"\n")
        self._extend_line(first)
        for piece in others:
            self._end_line(now_ms)
            self._extend_line(piece)

    def _extend_line(self, piece: bytes) -> None:
        if not self._is_truncated:
            self._unfinished += piece[: self._left_bytes]
            self._charge(len(piece))

    def _end_line(self, now_ms: int) -> None:
        if not self._is_truncated:
            self._lines.append(LogLine(now_ms, _text(self._unfinished)))
            self._unfinished.clear()
            self._charge(LINE_OVERHEAD_BYTES)

    def _charge(self, size_bytes: int) -> None:
        self._left_bytes -= size_bytes
        self._is_truncated = self._left_bytes < 0

    def take(self) -> tuple[LogLine, ...]:
        """Everything since the last call of this, an unfinished last line included; then begins anew."""
        now_ms = self._clock()
        lines = self._lines
        if self._unfinished:
            lines.append(LogLine(now_ms, _text(self._unfinished)))
        if self._is_truncated:
            lines.append(truncation_notice(now_ms))
        self._begin()
        return tuple(lines)


def _text(line: bytearray) -> str:
    return line.removesuffix(b"\r").replace(_INNER_LINE_END, b"\n").decode(errors="replace")


class OutputPipe:
    """The pipe that a sandbox prints into, and its log. Belongs to the running event loop."""

    def __init__(self, clock: Clock) -> None:
        self._log = CallLog(clock)
        self._loop = asyncio.get_running_loop()
        self._read_fd: int | None
        self._read_fd, self._write_fd = os.pipe()
        os.set_blocking(self._read_fd, False)
        self._loop.add_reader(self._read_fd, self._read)

    @property
    def write_fd(self) -> int:
        """The end to print into; it is of use until :meth:`close_write_end`."""
        return self._write_fd

    def close_write_end(self) -> None:
        """Once the child has its own copy of the write end: without ours, the pipe ends when the child does."""
        os.close(self._write_fd)
        self._write_fd = -1

    def _read(self) -> int:
        """Reads once; returns the number of bytes, 0 if there is nothing to be had now or ever."""
        if self._read_fd is None:
            return 0
        try:
            chunk = os.read(self._read_fd, _READ_BYTES)
        except BlockingIOError:
            return 0
        if not chunk:
            self._stop_reading()
        self._log.feed(chunk)
        return len(chunk)

    def take(self) -> tuple[LogLine, ...]:
        """The lines of the call that ends now: all that was printed before this moment is among them.

        Reads no more than the pipe can have held at that moment, however fast the child goes on printing.
        """
        left_bytes = _PIPE_MAX_BYTES
        while left_bytes > 0 and (size := self._read()):
            left_bytes -= size
        return self._log.take()

    def close(self) -> None:
        """Frees both ends."""
        self._stop_reading()
        if self._write_fd >= 0:
            self.close_write_end()

    def _stop_reading(self) -> None:
        if self._read_fd is not None:
            self._loop.remove_reader(self._read_fd)
            os.close(self._read_fd)
            self._read_fd = None
