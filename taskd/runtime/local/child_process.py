"""A sandbox's child process: its own process group, its output in a pipe, a scratch directory that goes with it.

Knows nothing of calls or the Runtime API.
"""

import asyncio
import errno
import json
import os
import signal
import socket
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from taskd.model.clock import Clock
from taskd.model.logline import LogLine
from taskd.runtime.local.confinement.confinement import Confinement
from taskd.runtime.local.confinement.mounts import TMP
from taskd.runtime.local.launcher import Launcher
from taskd.runtime.local.log_capture import OutputPipe
from taskd.runtime.local.supervisor import Order
from taskd.system.remove_tree import remove_tree

_READ_BYTES = 4096


class Launch(Struct, frozen=True):
    """What is started, where, and with which environment beside ``HOME`` and ``TMPDIR``."""

    command: list[str]
    environment: dict[str, str]
    code: Path
    work: Path
    """Where the scratch directory is made."""
    confinement: Confinement
    api_port: int = 0
    """Of the Runtime API, which it may always connect to."""


class InheritedSocket(Protocol):
    """A connection to the process, one end of which it inherits."""

    async def open(self) -> socket.socket:
        """Opens it; returns the end that the process gets, which the caller closes."""

    def close(self) -> None:
        """Closes the other end. Idempotent."""


class ChildProcess:
    """Started once, killed at most once, gone when :meth:`run` returns."""

    def __init__(self, launch: Launch, launcher: Launcher, clock: Clock) -> None:
        self._launch = launch
        self._launcher = launcher
        self._clock = clock
        self._output: OutputPipe | None = None
        self._scratch: str | None = None
        self.channel: InheritedSocket | None = None
        """What the process inherits, if it is to; set before :meth:`run`."""
        self._connection: socket.socket | None = None
        """To the supervisor."""
        self.group: int | None = None
        """The id of the process group while the process runs."""

    async def run(self) -> int:
        """Starts the process and waits for its end; returns the exit status, negative for a signal.

        All that came of the process is killed then, whatever session or group it moved to.

        :raises OSError: the process could not be started.
        :raises ValueError: the command or the environment cannot be given to a process.
        """
        order = self._order()
        self._output = OutputPipe(self._clock)
        self._connection = await self._supervisor(self._output)
        try:
            return await self._converse(self._connection, order)
        finally:
            self.kill()
            self.group = None
            self._connection.close()
            self._connection = None
            if self.channel is not None:
                self.channel.close()

    async def _supervisor(self, output: OutputPipe) -> socket.socket:
        """A connection to a new supervisor, to which what the process inherits is handed on."""
        if self.channel is None:
            connection = self._launcher.supervisor(output.write_fd)
        else:
            with await self.channel.open() as theirs:
                connection = self._launcher.supervisor(output.write_fd, theirs.fileno())
        output.close_write_end()
        return connection

    def _order(self) -> bytes:
        """What the supervisor is told."""
        scratch = self._make_scratch()
        environment = {"HOME": scratch, "TMPDIR": scratch, **self._launch.environment}
        if any("\0" in text for text in (*self._launch.command, *environment, *environment.values())):
            raise ValueError("embedded null byte")
        order = Order(
            command=self._launch.command,
            environment=environment,
            code=str(self._launch.code),
            rules=self._launch.confinement.rules(scratch, str(self._launch.code), self._launch.api_port),
        )
        return json.dumps(order).encode() + b"\n"

    def _make_scratch(self) -> str:
        """The scratch directory: a sandbox's own ``/tmp``, or one that is made here."""
        if self._launch.confinement.has_own_tmp:
            return TMP
        self._scratch = tempfile.mkdtemp(prefix="sandbox-", dir=self._launch.work)
        return self._scratch

    async def _converse(self, connection: socket.socket, order: bytes) -> int:
        """Gives the order and hears what became of it."""
        loop = asyncio.get_running_loop()
        status: int | None = None
        answers = b""
        with suppress(BrokenPipeError, ConnectionResetError):
            await loop.sock_sendall(connection, order)
            while chunk := await loop.sock_recv(connection, _READ_BYTES):
                answers += chunk
                *lines, answers = answers.split(b"\n")
                for what, number in (line.split() for line in lines):
                    status = self._hear(what, int(number))
        if status is None:  # no supervisor came to be, and nothing has run
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return status

    def _hear(self, what: bytes, number: int) -> int:
        """Takes in one line of the supervisor; gives the exit status if it said nothing more."""
        if what == b"failed":
            raise OSError(number, os.strerror(number), "".join(self._launch.command[:1]))
        if what == b"started":
            self.group = number
        # a supervisor that falls silent was killed, and its sandbox with it
        return number if what == b"ended" else -signal.SIGKILL

    def kill(self) -> None:
        """Ends the process at once, and all that came of it, if there is one."""
        if self._connection is not None:
            with suppress(OSError):  # the supervisor has ended
                self._connection.shutdown(socket.SHUT_WR)
        if self.group is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.group, signal.SIGKILL)

    def take_log(self) -> tuple[LogLine, ...]:
        """All that was printed since the last time this was asked."""
        return () if self._output is None else self._output.take()

    async def clean_up(self) -> None:
        """Removes what the process leaves behind."""
        if self._output is not None:
            self._output.close()
        if self._scratch is not None:
            await asyncio.to_thread(remove_tree, Path(self._scratch))
