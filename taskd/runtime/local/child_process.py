"""A sandbox's child process: its own process group, its output in a pipe, a scratch directory that goes with it.

Knows nothing of calls or the Runtime API.
"""

import asyncio
import errno
import os
import signal
import subprocess
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from taskd.model.clock import Clock
from taskd.model.logline import LogLine
from taskd.runtime.local.log_capture import OutputPipe
from taskd.runtime.local.orphan_killer import OrphanKiller
from taskd.system.remove_tree import remove_tree


class Launch(Struct, frozen=True):
    """What is started, where, and with which environment beside ``HOME`` and ``TMPDIR``."""

    command: list[str]
    environment: dict[str, str]
    code: Path
    work: Path
    """Where the scratch directory is made."""


class ChildProcess:
    """Started once, killed at most once, gone when :meth:`run` returns.

    Not made with the event loop's own means, because loops differ: uvloop forks, slowly when there is much memory
    to copy the page tables of, and hands what is no program to a shell.
    """

    def __init__(self, launch: Launch, orphan_killer: OrphanKiller, clock: Clock) -> None:
        self._launch = launch
        self._orphan_killer = orphan_killer
        self._clock = clock
        self._output: OutputPipe | None = None
        self._scratch: str | None = None
        self.group: int | None = None
        """The id of the process group while the process runs."""

    async def run(self) -> int:
        """Starts the process and waits for its end; returns the exit status, negative for a signal.

        Whatever else is left of the process group then is killed.

        :raises OSError: the process could not be started.
        :raises ValueError: the command or the environment cannot be given to a process.
        """
        self._output = OutputPipe(self._clock)
        process = self._spawn(self._output.write_fd)
        self._output.close_write_end()
        self.group = process.pid
        self._orphan_killer.watch(process.pid)
        try:
            return await _exit_status(process)
        finally:
            self.kill()
            self._orphan_killer.unwatch(process.pid)
            self.group = None

    def _spawn(self, output_fd: int) -> subprocess.Popen[bytes]:
        self._scratch = scratch = tempfile.mkdtemp(prefix="sandbox-", dir=self._launch.work)
        return subprocess.Popen(  # noqa: S603 - running functions is the purpose, and there is no shell in between
            self._launch.command,
            stdin=subprocess.DEVNULL,
            stdout=output_fd,
            stderr=output_fd,
            cwd=self._launch.code,
            env={"HOME": scratch, "TMPDIR": scratch, **self._launch.environment},
            start_new_session=True,
        )

    def kill(self) -> None:
        """Ends the whole process group at once, if there is one."""
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


async def _exit_status(process: subprocess.Popen[bytes]) -> int:
    """Waits in a thread of its own: the shared ones are few, and this may take days.

    :raises OSError: there can be no more threads; the process has ended then.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[int] = loop.create_future()

    def wait() -> None:
        status = process.wait()
        loop.call_soon_threadsafe(ended.set_result, status)

    try:
        threading.Thread(target=wait, name=f"sandbox-{process.pid}", daemon=True).start()
    except RuntimeError as error:
        process.kill()
        process.wait()
        raise OSError(errno.EAGAIN, "no thread could be started") from error
    return await ended
