"""A sandbox's child process: its own process group, its output in a pipe, a scratch directory that goes with it.

Knows nothing of calls or the Runtime API.
"""

import asyncio
import os
import shutil
import signal
import tempfile
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from taskd.model.clock import Clock
from taskd.model.logline import LogLine
from taskd.runtime.local.guardian import Guardian
from taskd.runtime.local.logs import OutputPipe


class Launch(Struct, frozen=True):
    """What is started, where, and with which environment beside ``HOME`` and ``TMPDIR``."""

    command: list[str]
    environment: dict[str, str]
    code: Path
    work: Path
    """Where the scratch directory is made."""


class ChildProcess:
    """Started once, killed at most once, gone when :meth:`run` returns."""

    def __init__(self, launch: Launch, guardian: Guardian, clock: Clock) -> None:
        self._launch = launch
        self._guardian = guardian
        self._clock = clock
        self._output: OutputPipe | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._scratch: str | None = None
        self._is_killed = False

    @property
    def group(self) -> int | None:
        """The id of the process group while the process runs."""
        return None if self._process is None else self._process.pid

    async def run(self) -> int:
        """Starts the process and waits for its end; gives the exit status, negative for a signal.

        Whatever else is left of the process group then is killed.

        :raises OSError: the process could not be started.
        :raises ValueError: the command or the environment cannot be given to a process.
        """
        self._output = OutputPipe(self._clock)
        self._process = await self._spawn(self._output.write_fd)
        self._output.handed_over()
        self._guardian.watch(self._process.pid)
        if self._is_killed:
            self.kill()
        status = await self._process.wait()
        self.kill()
        self._guardian.forget(self._process.pid)
        self._process = None
        return status

    async def _spawn(self, output_fd: int) -> asyncio.subprocess.Process:
        self._scratch = scratch = tempfile.mkdtemp(prefix="sandbox-", dir=self._launch.work)
        return await asyncio.create_subprocess_exec(
            *self._launch.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output_fd,
            stderr=output_fd,
            cwd=self._launch.code,
            env={"HOME": scratch, "TMPDIR": scratch, **self._launch.environment},
            start_new_session=True,
        )

    def kill(self) -> None:
        """Ends the whole process group at once, or as soon as there is one."""
        self._is_killed = True
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def take_log(self) -> tuple[LogLine, ...]:
        """All that was printed since the last time this was asked."""
        return () if self._output is None else self._output.take()

    async def clean(self) -> None:
        """Removes what the process leaves behind."""
        if self._output is not None:
            self._output.close()
        if self._scratch is not None:
            await asyncio.to_thread(shutil.rmtree, self._scratch, ignore_errors=True)
