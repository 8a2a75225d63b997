"""The launcher: a small process that starts every sandbox, and goes on when this one is large.

To fork it costs little, whatever this process has in memory. Each sandbox gets a supervisor there, which kills all that
came of the sandbox as soon as the connection to it is closed: by this process, or by its end, even by SIGKILL.
"""

import asyncio
import errno
import logging
import os
import socket
import sys
from contextlib import suppress

_log = logging.getLogger(__name__)

_MODULE = "taskd.runtime.local.launcher_process"
_RESTART_PAUSE_S = 1.0
_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH", "LC_ALL", "LANG")
"""What the other process gets of this one's environment: what Python may need to start, and nobody's secrets."""


class Launcher:
    """Keeps the other process running and hands it the sandboxes to start."""

    def __init__(self) -> None:
        self._connection: socket.socket | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._supervision: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Starts the other process."""
        await self._spawn()
        self._supervision = asyncio.create_task(self._supervise())

    async def _spawn(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-s", "-m", _MODULE),
                stdin=theirs.fileno(),
                stdout=asyncio.subprocess.DEVNULL,
                start_new_session=True,
                env={name: os.environ[name] for name in _VARIABLES if name in os.environ},
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)  # noqa: FBT003 - the name of the method says it
        self._connection = ours

    async def _supervise(self) -> None:
        """Starts the process again when it was killed."""
        while self._process is not None:
            await self._process.wait()
            _log.warning("the launcher of the sandboxes ended unexpectedly; starting another")
            self._disconnect()
            await asyncio.sleep(_RESTART_PAUSE_S)
            try:
                await self._spawn()
            except OSError as error:
                _log.warning("the launcher of the sandboxes could not be started: %s", error.strerror)

    def supervisor(self, output_fd: int, *channel_fd: int) -> socket.socket:
        """A connection to a new supervisor, whose sandbox prints to ``output_fd`` and inherits ``channel_fd``.

        :raises OSError: there can be none just now.
        """
        ours, theirs = socket.socketpair()
        try:
            self._send([theirs.fileno(), output_fd, *channel_fd])
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)  # noqa: FBT003 - the name of the method says it
        return ours

    def _send(self, descriptors: list[int]) -> None:
        if self._connection is None:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        try:
            socket.send_fds(self._connection, [b"+"], descriptors)
        except (BrokenPipeError, ConnectionResetError) as error:  # it is dead, and will be started again
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from error

    async def stop(self) -> None:
        """Ends the other process; supervisors end with their own connections. Idempotent."""
        if self._supervision is not None:
            self._supervision.cancel()
            await asyncio.gather(self._supervision, return_exceptions=True)
            self._supervision = None
        self._disconnect()
        if self._process is not None:
            with suppress(ProcessLookupError):
                await self._process.wait()
            self._process = None

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
