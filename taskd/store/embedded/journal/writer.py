"""Writing the journal: one thread that gathers what is queued into a group, writes it and syncs it once.

While a sync is in flight the next group gathers, so latency is one or two syncs and throughput grows with load.
A group is all or nothing. When a *write* fails the file is cut back and the callers hear so; when a *sync* fails
nobody can know what is on the disk any more (the kernel may have dropped the pages), so the writer stops for good
and says so through ``on_fatal``.
"""

import errno
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Generic, Protocol, TypeVar

from msgspec import Struct

from taskd.model.clock import Clock
from taskd.store.embedded.journal.directory import TEMPORARY_SUFFIX
from taskd.store.embedded.journal.format import (
    SEGMENT_HEADER_BYTES,
    Kind,
    SegmentHeader,
    encode_frame_header,
    encode_segment_header,
    first_sequence_of,
    segment_name,
)
from taskd.store.embedded.journal.reserve import SpaceReserve
from taskd.system.files import SyncFailedError, open_private, publish

RESERVE_MIN_BYTES = 1 << 20
RESERVE_BYTES_PER_TASK = 256
"""Room for a task's start and its end, with a short error message."""
PROBE_INTERVAL_S = 1.0
FILL_BYTES = 1 << 20
"""How far a segment is filled with zeros ahead of its frames.

Overwriting what is there changes nothing but the content, so a sync has no more than that to write. One that makes
the file longer also waits for the file system's own journal, which takes about half as long again.
"""
LOOK_INTERVAL_S = 0.01
"""How often the disk is looked at, at most, while frames need no space of it."""


class Entry(Struct, eq=False, kw_only=True):
    """A payload on its way into the journal. ``essential`` entries may use the reserve of a full disk."""

    payload: bytes
    essential: bool
    sequence: int = 0
    """Set when it is durable."""


class Position(Struct, frozen=True):
    """Where writing goes on: behind frame ``sequence``, at ``offset`` of ``path``."""

    path: Path
    offset: int
    sequence: int


E = TypeVar("E", bound=Entry)
E_contra = TypeVar("E_contra", bound=Entry, contravariant=True)


class Listener(Protocol[E_contra]):
    """Hears from the writer's thread, in the order of the journal."""

    def committed(self, group: Sequence[E_contra]) -> None:
        """These are durable."""

    def refused(self, group: Sequence[E_contra], error: OSError) -> None:
        """These are not in the journal, and never will be."""

    def fatal(self, error: BaseException) -> None:
        """Nothing more can be written; what becomes of entries that were not heard of is unknown."""


def create_segment(directory: Path, first_sequence: int, created_ms: int) -> Path:
    """A new, durable log segment with nothing in it."""
    path, fd = _begin_segment(directory, first_sequence, created_ms)
    os.close(fd)
    return path


def _begin_segment(directory: Path, first_sequence: int, created_ms: int) -> tuple[Path, int]:
    """A new, durable log segment, open for writing. It is there whole, or an ``OSError`` says why it is not at all."""
    path = directory / segment_name(first_sequence)
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    fd = open_private(temporary, os.O_WRONLY | os.O_TRUNC)
    try:
        write_all(fd, encode_segment_header(SegmentHeader(Kind.LOG, first_sequence, 0, created_ms)), 0)
        os.fsync(fd)
        publish(temporary, path)
    except BaseException:
        os.close(fd)
        temporary.unlink(missing_ok=True)
        raise
    return path, fd


def write_all(fd: int, data: bytes, offset: int) -> None:
    """Writes all of ``data`` at ``offset``, however many calls it takes."""
    written = os.pwrite(fd, data, offset)
    while written < len(data):
        written += os.pwrite(fd, memoryview(data)[written:], offset + written)


def _is_disk_full(fd: int) -> bool:
    """Whether the file system of an open file has no block left for this user, as far as it can be told."""
    try:
        space = os.fstatvfs(fd)
    except OSError:
        return False
    free = space.f_bfree if os.geteuid() == 0 else space.f_bavail
    return space.f_blocks > 0 and free == 0  # some file systems do not count


class JournalWriter(Generic[E]):
    """Appends frames behind ``position``. Its methods are for one thread, the one that owns the state."""

    def __init__(self, position: Position, listener: Listener[E], *, segment_bytes: int, clock: Clock) -> None:
        self._directory = position.path.parent
        self._fd = os.open(position.path, os.O_WRONLY | os.O_CLOEXEC)
        self._offset = position.offset
        self._filled_to = position.offset
        """Where the zeros end; nothing else ever stands behind the frames."""
        self._sequence = position.sequence
        self._listener = listener
        self._segment_bytes = segment_bytes
        self._clock = clock
        self._reserve = SpaceReserve(self._directory)
        self._reserve_bytes = RESERVE_MIN_BYTES
        self._queue: SimpleQueue[list[E] | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="taskd-journal", daemon=True)
        self._look_again_s = 0.0
        self._seal_wanted = False
        self.full: OSError | None = None
        """Why only essential entries are taken now; ``None`` when all is well."""
        self.sealed_below = first_sequence_of(position.path.name) - 1
        """Segments that hold nothing after this sequence are never written to again."""

    def start(self) -> None:
        """Cuts off what lies behind the position, and begins to write.

        The sync makes true what the first frame will say: that all before it is safe. A process that was killed
        may have left frames that were written and never synced.
        """
        os.ftruncate(self._fd, self._offset)
        os.fsync(self._fd)
        self._probe()
        self._thread.start()

    def append(self, entries: list[E]) -> None:
        """Queues frames, each of at most ``MAX_PAYLOAD_BYTES``; the listener is told of every one."""
        self._queue.put(entries)

    def seal(self) -> None:
        """Has the segment end with the next group, however short it is; not while the disk is full."""
        self._seal_wanted = True

    def reserve_for(self, live_tasks: int) -> None:
        """Says how many tasks' ends must still fit when the disk is full."""
        self._reserve_bytes = RESERVE_MIN_BYTES + live_tasks * RESERVE_BYTES_PER_TASK

    def close(self) -> None:
        """Writes what is queued, then ends the thread and closes the files. Idempotent."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()
        if self._fd >= 0:
            with suppress(OSError):  # zeros may stay, but they would be in the way of people who look at the file
                os.ftruncate(self._fd, self._offset)
            os.close(self._fd)
            self._fd = -1
            self._reserve.close()

    def _run(self) -> None:
        try:
            while (group := self._next_group()) is not None:
                self._commit(group)
        except BaseException as error:
            self._listener.fatal(error)

    def _next_group(self) -> list[E] | None:
        """All that is queued, after waiting for something; ``None`` when the writer is to end."""
        group = self._wait_for_entries()
        while group is not None and not self._queue.empty():
            more = self._queue.get()
            if more is None:
                self._queue.put(None)
                break
            group += more
        return group

    def _wait_for_entries(self) -> list[E] | None:
        while True:
            try:
                return self._queue.get(timeout=PROBE_INTERVAL_S if self.full else None)
            except Empty:
                self._probe()

    def _commit(self, group: list[E]) -> None:
        if self.full:
            self._probe()
        elif time.monotonic() >= self._look_again_s:
            self._look_at_disk()
        if self.full:
            group = self._refuse_all_but_essential(group, self.full)
        error = self._write(group)
        if error is not None:
            self.full = error
            self._reserve.release()
            group = self._refuse_all_but_essential(group, error)
            error = self._write(group)
            if error is not None:
                self._listener.refused(group, error)
                return
        if not group:
            return
        self._sync()
        self._sequence += len(group)
        self._listener.committed(group)
        self._keep_house()

    def _sync(self) -> None:
        try:
            os.fdatasync(self._fd)
        except OSError as error:
            raise SyncFailedError(self._directory, error) from error

    def _write(self, group: list[E]) -> OSError | None:
        """Writes the group behind the last good frame, or cuts back to it durably and gives the reason."""
        buffers: list[bytes] = []
        for sequence, entry in enumerate(group, self._sequence + 1):
            entry.sequence = sequence
            buffers += (encode_frame_header(sequence, self._sequence, entry.payload), entry.payload)
        data = b"".join(buffers)
        try:
            write_all(self._fd, data, self._offset)
        except OSError as error:
            # Durably: frames that were refused must not come back to life after a power cut.
            os.ftruncate(self._fd, self._offset)
            os.fsync(self._fd)
            self._filled_to = self._offset
            return error
        self._offset += len(data)
        self._fill_ahead()
        return None

    def _fill_ahead(self) -> None:
        """Fills the segment up some way if its zeros are used up; the sync that comes next makes them safe, too.

        Never past the end of the segment, so that one that is sealed has none. A disk that is nearly full keeps
        what it has for frames.
        """
        end = min(self._offset + FILL_BYTES, self._segment_bytes)
        if self._filled_to > self._offset or self._offset >= end or self.full:
            return
        with suppress(OSError):
            write_all(self._fd, bytes(end - self._offset), self._offset)
            self._filled_to = end

    def _refuse_all_but_essential(self, group: list[E], error: OSError) -> list[E]:
        refused = [entry for entry in group if not entry.essential]
        if refused:
            self._listener.refused(refused, error)
        return [entry for entry in group if entry.essential]

    def _keep_house(self) -> None:
        """Grows the reserve with the load, and begins a new segment when this one is long enough."""
        if self.full:
            return
        try:
            self._reserve.ensure(self._reserve_bytes)
            if self._offset >= self._segment_bytes or self._seal_wanted:
                self._rotate()
        except OSError as error:
            self.full = error

    def _probe(self) -> None:
        try:
            self._reserve.ensure(self._reserve_bytes)
        except OSError as error:
            self.full = error
        else:
            self.full = None
            self._look_at_disk()

    def _look_at_disk(self) -> None:
        """Takes nothing more on when the disk is full, although the zeros still had room for it.

        What comes after would fail: bringing it to its end, and keeping its history.
        """
        self._look_again_s = time.monotonic() + LOOK_INTERVAL_S
        if _is_disk_full(self._fd):
            self.full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._reserve.release()

    def _rotate(self) -> None:
        self._cut_zeros()
        sealed = self._fd
        _, self._fd = _begin_segment(self._directory, self._sequence + 1, self._clock())
        self._offset = self._filled_to = SEGMENT_HEADER_BYTES
        self.sealed_below = self._sequence
        self._seal_wanted = False
        os.close(sealed)

    def _cut_zeros(self) -> None:
        """Durably, before another segment follows: zeros may stand behind the frames of the last one alone."""
        if self._filled_to > self._offset:
            os.ftruncate(self._fd, self._offset)
            self._filled_to = self._offset
            self._sync()
