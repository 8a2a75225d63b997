"""The journal's directory: which segments count, making one durable, and keeping a second daemon out."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from taskd.store.embedded.errors import DirectoryInUseError, JournalDamagedError
from taskd.store.embedded.journal.format import (
    SEGMENT_HEADER_BYTES,
    SUFFIX,
    FormatError,
    Kind,
    SegmentHeader,
    decode_segment_header,
    segment_name,
)
from taskd.system.files import SyncFailedError, make_directory, open_private, sync_directory

TEMPORARY_SUFFIX = ".tmp"


class Segment(Struct, frozen=True):
    """A segment file and its header."""

    path: Path
    header: SegmentHeader
    size_bytes: int


class DirectoryLock:
    """An advisory lock on a directory, held as long as the process lives or until :meth:`release`."""

    def __init__(self, directory: Path) -> None:
        make_directory(directory)
        self._fd = open_private(directory / "lock", os.O_RDWR)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(self._fd, 64, 0).decode(errors="replace").strip() or "unknown process"
            os.close(self._fd)
            raise DirectoryInUseError(directory, owner) from None
        with suppress(OSError):  # a courtesy to whoever finds it locked; a full disk has no room for it
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"process {os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Lets another process have the directory. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def sync_leftovers(directory: Path, live: list[Segment]) -> None:
    """Makes durable what a killed process wrote and never synced, before anything is built on it."""
    sync_directory(directory)
    for segment in live[-1:]:
        fd = os.open(segment.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        except OSError as error:
            raise SyncFailedError(segment.path, error) from error
        finally:
            os.close(fd)


def segments(directory: Path) -> tuple[list[Segment], list[Segment]]:
    """The segments that count, in order, and the stale ones that a snapshot has taken the place of.

    :raises JournalDamagedError: for a bad header, or when sequence numbers are missing between two segments.
    """
    live: list[Segment] = []
    stale: list[Segment] = []
    for segment in [_read_segment(path) for path in sorted(directory.glob(f"*{SUFFIX}"))]:
        covered_to = live[-1].header.last_sequence if live else 0
        (stale if segment.header.first_sequence <= covered_to else live).append(segment)
    _require_whole(live)
    return live, stale


def remove_segments(directory: Path, stale: list[Segment]) -> None:
    """Deletes segments that a snapshot has taken the place of."""
    for segment in stale:
        segment.path.unlink()
    sync_directory(directory)


def remove_temporary_files(directory: Path) -> None:
    """Deletes what an interrupted compaction or rotation left unfinished. Only before writing begins."""
    for path in directory.glob(f"*{TEMPORARY_SUFFIX}"):
        path.unlink()


def _read_segment(path: Path) -> Segment:
    with path.open("rb") as file:
        head = file.read(SEGMENT_HEADER_BYTES)
        size_bytes = os.fstat(file.fileno()).st_size
    try:
        header = decode_segment_header(head)
    except FormatError as error:
        raise JournalDamagedError(path, 0, str(error)) from None
    if path.name != segment_name(header.first_sequence):
        raise JournalDamagedError(path, 0, f"its header says it is {segment_name(header.first_sequence)}")
    return Segment(path, header, size_bytes)


def _require_whole(live: list[Segment]) -> None:
    if live and live[0].header.first_sequence != 1:
        missing = f"the segments before sequence {live[0].header.first_sequence} are missing"
        raise JournalDamagedError(live[0].path, 0, missing)
    for segment in live[1:]:
        if segment.header.kind is Kind.SNAPSHOT:
            raise JournalDamagedError(segment.path, 0, "a snapshot stands after the segment it should replace")
