"""The files of the trail: lines that are only ever appended, by any number of processes at once.

A part is ``YYYY-MM-NNNN.jsonl``, of the month of its entries in UTC; a new one is begun past :data:`PART_MAX_BYTES`.
What a crash tears is one line, which the next append ends and readers leave out. Appending is one write under a lock.
A reserve is given up when the disk is full, so that what is done about that can still be recorded.
"""

import errno
import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from taskd.system.files import make_directory, open_private, sync_directory

PART_MAX_BYTES = 4 << 20
RESERVE_BYTES = 1 << 20
LOCK_TIMEOUT_S = 5.0
_LOCK_POLL_S = 0.001
_RESERVE, _LOCK = "reserve", "lock"
_PART = re.compile(r"(\d{4}-\d{2})-(\d{4,})\.jsonl")


class TrailFiles:
    """The parts in ``directory``, which is made with the first append."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def append(self, lines: bytes, at_ms: int) -> str:
        """Appends whole lines to the newest part of a month, durably; gives the part's name.

        :raises OSError: nothing was appended.
        :raises SyncFailedError: the name of a new file could not be made durable.
        """
        with self._locked():
            name = self._newest(at_ms)
            self._append(name, lines, durable=True)
            self._keep_reserve()
            return name

    def add_to(self, name: str, lines: bytes) -> None:
        """Appends whole lines to a part, soon durably: they outlive the process, but maybe no power cut.

        :raises OSError: nothing was appended.
        """
        with self._locked():
            self._append(name, lines, durable=False)

    def parts(self) -> list[Path]:
        """The parts, oldest first."""
        try:
            names = [path.name for path in self.directory.iterdir()]
        except FileNotFoundError:
            return []
        found = sorted((match[1], int(match[2]), match[0]) for name in names if (match := _PART.fullmatch(name)))
        return [self.directory / name for _, _, name in found]

    def remove(self, part: Path) -> None:
        """Removes a part."""
        with self._locked():
            part.unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        make_directory(self.directory)
        fd = open_private(self.directory / _LOCK, os.O_RDWR)
        try:
            self._lock(fd)
            yield
        finally:
            os.close(fd)

    def _lock(self, fd: int) -> None:
        """Others hold it for a sync or two; one that was stopped meanwhile must not stop us."""
        deadline_s = time.monotonic() + LOCK_TIMEOUT_S
        while True:
            try:
                return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline_s:
                    raise TimeoutError(
                        errno.ETIMEDOUT, f"{self.directory / _LOCK} is held by another process"
                    ) from None
            time.sleep(_LOCK_POLL_S)

    def _newest(self, at_ms: int) -> str:
        month = month_of(at_ms)
        of_month = [part for part in self.parts() if part.name.startswith(month)]
        if of_month and of_month[-1].stat().st_size < PART_MAX_BYTES:
            return of_month[-1].name
        return f"{month}-{number_of(of_month[-1]) + 1 if of_month else 1:04}.jsonl"

    def _append(self, name: str, lines: bytes, *, durable: bool) -> None:
        path = self.directory / name
        is_new = not path.exists()
        fd = open_private(path, os.O_RDWR | os.O_APPEND)
        try:
            size = os.fstat(fd).st_size
            is_torn = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
            self._write(fd, size, b"\n" + lines if is_torn else lines)
            if durable:
                os.fdatasync(fd)
        finally:
            os.close(fd)
        if is_new:
            sync_directory(self.directory)

    def _write(self, fd: int, size: int, content: bytes) -> None:
        """All of ``content`` or nothing; with the reserve's space if there is no other."""
        try:
            _write_whole(fd, size, content)
        except OSError as error:
            reserve = self.directory / _RESERVE
            if error.errno not in (errno.ENOSPC, errno.EDQUOT) or not reserve.exists():
                raise
            reserve.unlink()
            _write_whole(fd, size, content)

    def _keep_reserve(self) -> None:
        path = self.directory / _RESERVE
        if path.exists():
            return
        fd = open_private(path, os.O_WRONLY)
        try:
            _write_whole(fd, 0, bytes(RESERVE_BYTES))
        except OSError:  # no room now, so the next entry tries again
            with suppress(OSError):
                path.unlink()
        finally:
            os.close(fd)


def month_of(at_ms: int) -> str:
    """The month of a moment in UTC, as ``2026-01``."""
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m}"


def number_of(part: Path) -> int:
    """Which part of its month it is."""
    return int(part.stem.rpartition("-")[2])


def _write_whole(fd: int, size: int, content: bytes) -> None:
    try:
        if os.write(fd, content) != len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
        os.ftruncate(fd, size)
        raise
