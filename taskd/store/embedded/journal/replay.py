"""Reading the journal back, in order, and deciding what a bad frame means."""

import mmap
import os
import re
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from taskd.store.embedded.errors import JournalDamagedError
from taskd.store.embedded.journal.directory import Segment
from taskd.store.embedded.journal.format import SEGMENT_HEADER_BYTES, FormatError, Frame, Kind, decode_frame

_RELEASED_AT_ONCE_BYTES = 8 << 20
"""A multiple of every machine's pages."""


class TornTail(Struct, frozen=True):
    """Bytes at the end of the last segment that were never acknowledged, and are to be cut off."""

    path: Path
    offset: int
    size_bytes: int
    why: str


class Replay:
    """One pass over ``segments``; when it has run out, it knows where writing goes on.

    Payloads are views into the mapped file, which stays mapped as long as one of them is held.
    """

    def __init__(self, segments: list[Segment]) -> None:
        self._segments = segments
        self.last_sequence = 0
        """The newest sequence seen so far."""
        self.end_offset = 0
        """Where the last segment's whole frames end."""
        self.segment: Segment | None = None
        """The segment being read."""
        self.torn_tail: TornTail | None = None
        self.frames = 0

    def __iter__(self) -> Iterator[tuple[int, memoryview]]:
        """Pairs of sequence and payload.

        :raises JournalDamagedError: for anything but a torn tail of the last segment.
        """
        for segment in self._segments:
            self.segment = segment
            yield from self._read(segment, map_file(segment.path))

    def _read(self, segment: Segment, data: memoryview) -> Iterator[tuple[int, memoryview]]:
        if segment.header.kind is Kind.SNAPSHOT:
            frames = _snapshot_frames(segment, data)
        else:
            frames = self._log_frames(segment, data)
        pages = _Pages(data)
        for frame in frames:
            pages.release(frame.end - len(frame.payload))
            self.frames += 1
            yield frame.sequence, frame.payload
            self.last_sequence = frame.sequence
            self.end_offset = frame.end
        if segment.header.kind is Kind.SNAPSHOT:
            self.last_sequence = segment.header.last_sequence

    def _log_frames(self, segment: Segment, data: memoryview) -> Iterator[Frame]:
        expected = segment.header.first_sequence
        if expected != self.last_sequence + 1:
            why = f"it begins with frame {expected}, but frame {self.last_sequence + 1} comes next"
            raise JournalDamagedError(segment.path, 0, why)
        offset = self.end_offset = SEGMENT_HEADER_BYTES
        while offset < len(data):
            try:
                frame = decode_frame(data, offset)
                if frame.sequence != expected:
                    raise FormatError(f"frame {frame.sequence} stands where frame {expected} belongs")
            except FormatError as error:
                self._judge(segment, data, offset, expected, str(error))
                return
            yield frame
            offset = frame.end
            expected += 1

    def _judge(self, segment: Segment, data: memoryview, offset: int, expected: int, why: str) -> None:
        """Records a torn tail, or raises if the bad frame had once been safe. Zeros are what no frame has come to."""
        if segment is not self._segments[-1]:
            raise JournalDamagedError(segment.path, offset, why)
        if is_unused(data, offset):
            return
        proof = find_proof(data, offset, expected)
        if proof is not None:
            why = f"{why}, yet frame {proof.sequence} after it says that it was safe on disk"
            raise JournalDamagedError(segment.path, offset, why)
        self.torn_tail = TornTail(segment.path, offset, len(data) - offset, why)


class _Pages:
    """The memory of a mapped file that was looked at: what has been read counts as this process's until it lets go.

    A journal may be larger than memory. Whoever looks at a page again after all has it read again.
    """

    def __init__(self, data: memoryview) -> None:
        self._mapping = data.obj
        self._released = 0

    def release(self, end: int) -> None:
        """Lets go of what stands before ``end``, now and then."""
        step = (end - self._released) // _RELEASED_AT_ONCE_BYTES * _RELEASED_AT_ONCE_BYTES
        if step and isinstance(self._mapping, mmap.mmap):
            self._mapping.madvise(mmap.MADV_DONTNEED, self._released, step)
            self._released += step


def is_unused(data: memoryview, offset: int) -> bool:
    """Whether nothing but zeros follows: a segment is filled with them ahead of its frames."""
    return data[offset:].tobytes().count(0) == len(data) - offset


def map_file(path: Path) -> memoryview:
    """The content of a file, read as it is looked at."""
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return memoryview(b"")  # which cannot be mapped
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _snapshot_frames(segment: Segment, data: memoryview) -> Iterator[Frame]:
    """The frames of a snapshot, without its empty last one. A snapshot was synced whole, so it has no torn tail."""
    offset = SEGMENT_HEADER_BYTES
    while True:
        try:
            frame = decode_frame(data, offset)
            if frame.sequence != segment.header.last_sequence:
                raise FormatError(f"frame {frame.sequence} does not belong into this snapshot")
        except FormatError as error:
            raise JournalDamagedError(segment.path, offset, str(error)) from None
        offset = frame.end
        if not frame.payload:
            break
        yield frame
    if offset != len(data):
        raise JournalDamagedError(segment.path, offset, "bytes follow the end of the snapshot")


def find_proof(data: memoryview, offset: int, sequence: int) -> Frame | None:
    """A whole frame after ``offset`` written when frame ``sequence`` was already synced, if there is one."""
    return next((frame for frame in frames_after(data, offset, sequence) if frame.synced >= sequence), None)


def frames_after(data: memoryview, offset: int, sequence: int) -> Iterator[Frame]:
    """Every whole frame that begins after ``offset`` and has this sequence or a later one.

    Frames begin anywhere after a bad one, so every place is tried where the high bytes of the sequence number are
    like those looked for; the pattern finds such places at the speed of C.
    """
    high = re.escape(struct.pack("<Q", sequence)[4:])
    # crc and length, then two sequence numbers: four low bytes that may differ, four high bytes that may not.
    # No frame has number 0, which passes over the zeros that a power cut leaves by the megabyte.
    pattern = re.compile(rb"(?s)(?=.{8}(?!\0\0\0\0).{4}" + high + rb".{8})")
    for match in pattern.finditer(data, offset + 1):
        written, synced = struct.unpack_from("<QQ", data, match.start() + 8)
        if written >= sequence and synced <= written:
            with suppress(FormatError):
                yield decode_frame(data, match.start())
