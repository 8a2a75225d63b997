"""The orphan killer: a second process that kills every sandbox when this one is gone, even by SIGKILL.

A sandbox in the middle of a long call would not notice on its own that it is an orphan. Knows nothing of sandboxes but
their process groups.
"""

import asyncio
import logging
import os
import sys
from contextlib import suppress
from pathlib import Path

_log = logging.getLogger(__name__)

_PROGRAM = Path(__file__).with_name("orphan_killer_process.py")
_RESTART_PAUSE_S = 1.0


class OrphanKiller:
    """Keeps the other process running and sends it the groups to watch."""

    def __init__(self) -> None:
        self._groups: set[int] = set()
        self._pipe_fd: int | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._supervision: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Starts the other process."""
        await self._spawn()
        self._supervision = asyncio.create_task(self._supervise())

    async def _spawn(self) -> None:
        read_fd, write_fd = os.pipe()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(_PROGRAM)),
                stdin=read_fd,
                stdout=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        except BaseException:
            os.close(write_fd)
            raise
        finally:
            os.close(read_fd)
        os.set_blocking(write_fd, False)
        self._pipe_fd = write_fd
        for group in self._groups:
            self._send(f"+{group}\n")

    async def _supervise(self) -> None:
        """Starts the process again when it was killed."""
        while self._process is not None:
            await self._process.wait()
            _log.warning("the orphan killer of the sandboxes ended unexpectedly; starting another")
            self._close_pipe()
            await asyncio.sleep(_RESTART_PAUSE_S)
            try:
                await self._spawn()
            except OSError as error:
                _log.warning("the orphan killer of the sandboxes could not be started: %s", error.strerror)

    def watch(self, group: int) -> None:
        """``group`` is to be killed when this process is gone."""
        self._groups.add(group)
        self._send(f"+{group}\n")

    def unwatch(self, group: int) -> None:
        """``group`` has ended."""
        self._groups.discard(group)
        self._send(f"-{group}\n")

    def _send(self, line: str) -> None:
        if self._pipe_fd is not None:
            with suppress(OSError):  # it is dead, and its successor is sent everything
                os.write(self._pipe_fd, line.encode())

    async def stop(self) -> None:
        """Ends the other process; it kills what is still watched. Idempotent."""
        if self._supervision is not None:
            self._supervision.cancel()
            await asyncio.gather(self._supervision, return_exceptions=True)
            self._supervision = None
        self._close_pipe()
        if self._process is not None:
            await self._process.wait()
            self._process = None

    def _close_pipe(self) -> None:
        if self._pipe_fd is not None:
            os.close(self._pipe_fd)
            self._pipe_fd = None
