"""The daemon that ``taskd demo`` shows: a child process like any other, started, waited for and stopped."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

from taskd.cli.exit_codes import CommandError

READY_LINE = "taskd listening on "
READY_WITHIN_S = 60.0
_LOG_TAIL_LINES = 8
_STOP_STEPS: tuple[tuple[signal.Signals, float | None], ...] = (
    (signal.SIGTERM, 5.0),  # lets running functions end
    (signal.SIGTERM, 5.0),  # cuts that short
    (signal.SIGKILL, None),
)
"""What the daemon is sent, and how long it then has, in seconds."""


class DaemonDiedError(CommandError):
    """The daemon ended by itself; the message has the end of its log."""

    def __init__(self, log: Path) -> None:
        lines = log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:]
        super().__init__("\n".join(["the daemon did not start, or ended by itself. The end of its log:", *lines]))


class DemoDaemon:
    """A running daemon, at ``url``."""

    def __init__(self, process: subprocess.Popen[str], url: str, log: Path) -> None:
        self._process = process
        self._log = log
        self.url = url

    def wait(self) -> None:
        """Returns never while all is well.

        :raises DaemonDiedError: it ended.
        """
        self._process.wait()
        raise DaemonDiedError(self._log)


@contextmanager
def running_daemon(arguments: list[str], log: Path) -> Iterator[DemoDaemon]:
    """``taskd serve`` with ``arguments``, from the moment it can be called until the block is left.

    It has a process group of its own, so that Ctrl-C reaches the demo alone, which then stops it in order.
    """
    command = [sys.executable, "-m", "taskd", "serve", *arguments]
    with (
        log.open("wb") as errors,
        subprocess.Popen(  # noqa: S603 - our own program, without a shell
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True, process_group=0
        ) as process,
    ):
        try:
            yield DemoDaemon(process, _wait_until_ready(process, log), log)
        finally:
            _stop(process)


def _wait_until_ready(process: subprocess.Popen[str], log: Path) -> str:
    assert process.stdout is not None
    with _deadline(process):
        line = process.stdout.readline()
    if not line.startswith(READY_LINE):
        raise DaemonDiedError(log)
    return line.removeprefix(READY_LINE).strip()


@contextmanager
def _deadline(process: subprocess.Popen[str]) -> Iterator[None]:
    """Kills a daemon that is not ready in time; reading its output then ends."""
    timer = Timer(READY_WITHIN_S, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _stop(process: subprocess.Popen[str]) -> None:
    for number, timeout_s in _STOP_STEPS:
        process.send_signal(number)
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            continue
        return
