"""A damaged journal, read as far as it can be, and written anew beside what is kept of the damaged one.

Sequence numbers stay what they were, since the catalogue knows them: a frame that cannot be read is replaced by an
empty one. Segments are replaced one by one, each fitting its neighbours old or new, so a repair that is interrupted
leaves a journal that can be repaired again.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct, structs

from taskd.store.embedded.journal.directory import TEMPORARY_SUFFIX
from taskd.store.embedded.journal.format import (
    FRAME_HEADER_BYTES,
    SEGMENT_HEADER_BYTES,
    SUFFIX,
    FormatError,
    Frame,
    Kind,
    SegmentHeader,
    decode_frame,
    decode_segment_header,
    encode_frame_header,
    encode_segment_header,
    first_sequence_of,
    segment_name,
)
from taskd.store.embedded.journal.replay import frames_after, is_unused, map_file
from taskd.store.embedded.journal.writer import write_all
from taskd.system.files import make_directory, open_private, publish, sync_directory


class Gap(Struct, frozen=True):
    """Bytes that could not be read, and the frames that are not there any more: up to but not with ``before``."""

    path: Path
    offset: int
    size_bytes: int
    first_sequence: int
    before: int
    why: str


class Salvaged(Struct, frozen=True):
    """What is left of one segment: for a log, pairs of sequence and payload; a snapshot's all have its last."""

    path: Path
    header: SegmentHeader
    frames: list[tuple[int, memoryview]]


class Salvage:
    """Reads every segment of ``directory`` in order, whatever state it is in."""

    def __init__(self, directory: Path) -> None:
        self._paths = sorted(path for path in directory.glob(f"*{SUFFIX}") if path.stem.isdigit())
        self.gaps: list[Gap] = []
        """What could not be read so far."""
        self.last_sequence = 0
        """The newest frame so far."""

    def __iter__(self) -> Iterator[Salvaged]:
        for path in self._paths:
            if first_sequence_of(path.name) > self.last_sequence:  # else a snapshot has taken its place
                yield self._read(path)

    def _read(self, path: Path) -> Salvaged:
        first = first_sequence_of(path.name)
        self._note_missing(path, first)
        self.last_sequence = first - 1
        data = map_file(path)
        header = self._header(path, data)
        frames = [] if header is None else list(self._frames(path, data, header))
        return Salvaged(path, header or SegmentHeader(Kind.LOG, first, 0, 0), frames)

    def _header(self, path: Path, data: memoryview) -> SegmentHeader | None:
        """The header, or one made up from the name and the frames; ``None`` if there is not even one frame."""
        try:
            return decode_segment_header(data)
        except FormatError as error:
            first = first_sequence_of(path.name)
            two = [frame.sequence for _, frame in zip(range(2), frames_after(data, 0, first), strict=False)]
            before = two[0] if two else first
            self.gaps.append(Gap(path, 0, min(len(data), SEGMENT_HEADER_BYTES), first, before, str(error)))
            if not two:
                return None
            is_snapshot = len(two) == 2 and two[0] == two[1]
            return SegmentHeader(Kind(is_snapshot), first, two[0] if is_snapshot else 0, 0)

    def _frames(self, path: Path, data: memoryview, header: SegmentHeader) -> Iterator[tuple[int, memoryview]]:
        wanted = header.last_sequence
        offset, ended = SEGMENT_HEADER_BYTES, False
        while offset < len(data):
            expected = wanted or self.last_sequence + 1
            frame, begin, why = _frame_from(data, offset, expected)
            if frame is None and not wanted and path == self._paths[-1] and is_unused(data, offset):
                break
            if frame is None:
                self.gaps.append(Gap(path, offset, len(data) - offset, expected, expected, why))
                break
            if begin > offset:
                self.gaps.append(Gap(path, offset, begin - offset, expected, frame.sequence, why))
            offset = frame.end
            ended = ended or not frame.payload
            if frame.payload:
                self.last_sequence = max(self.last_sequence, 0 if wanted else frame.sequence)
                yield frame.sequence, frame.payload
        if wanted:
            self.last_sequence = wanted
            if not ended and not (self.gaps and self.gaps[-1].path == path):
                self.gaps.append(Gap(path, len(data), 0, wanted, wanted, "the end of the snapshot is missing"))

    def _note_missing(self, path: Path, before: int) -> None:
        why = "frames before this segment are missing"
        missing = self.last_sequence + 1
        if missing >= before:
            return
        if self.gaps and self.gaps[-1].before == missing == self.gaps[-1].first_sequence:
            self.gaps[-1] = structs.replace(self.gaps[-1], before=before)  # now it is known how far it goes
        else:
            self.gaps.append(Gap(path, 0, 0, missing, before, why))


def _frame_from(data: memoryview, offset: int, expected: int) -> tuple[Frame | None, int, str]:
    """The first readable frame from ``offset`` on with the sequence ``expected`` or a later one, where it begins,
    and what is wrong with the bytes before it."""
    try:
        frame = decode_frame(data, offset)
        if frame.sequence == expected:
            return frame, offset, ""
        why = f"frame {frame.sequence} stands where frame {expected} belongs"
    except FormatError as error:
        why = str(error)
    later = next(frames_after(data, offset, expected), None)
    begin = 0 if later is None else later.end - len(later.payload) - FRAME_HEADER_BYTES
    return later, begin, why


class Rewriting:
    """The new segments of ``directory``, written beside the old ones until :meth:`publish`."""

    def __init__(self, directory: Path, filler: bytes) -> None:
        """``filler`` is the payload that says nothing."""
        self._directory = directory
        self._filler = filler
        self._fd = -1
        self._offset = 0
        self._header: SegmentHeader | None = None
        self._written: list[Path] = []
        self.last_sequence = 0

    def begin(self, header: SegmentHeader) -> None:
        """Begins a segment; what is missing before it is filled up."""
        if header.first_sequence > self.last_sequence + 1:
            self.fill(header.first_sequence)
        self._close()
        path = self._directory / (segment_name(header.first_sequence) + TEMPORARY_SUFFIX)
        self._fd = open_private(path, os.O_WRONLY | os.O_TRUNC)
        self._header, self._offset = header, SEGMENT_HEADER_BYTES
        self._written.append(path)
        write_all(self._fd, encode_segment_header(header), 0)
        self.last_sequence = header.last_sequence or header.first_sequence - 1

    def add(self, sequence: int, payload: bytes) -> None:
        """Adds a frame to the segment, with fillers in the place of those that are missing before it."""
        if sequence > self.last_sequence:
            self.fill(sequence)
            self.last_sequence = sequence
        self._write(sequence, payload)

    def fill(self, before: int) -> None:
        """Sees to it that the next frame is number ``before``, or a later one."""
        if self._header is None or self._header.kind is Kind.SNAPSHOT:
            self.begin(SegmentHeader(Kind.LOG, self.last_sequence + 1, 0, 0))
        while self.last_sequence + 1 < before:
            self.last_sequence += 1
            self._write(self.last_sequence, self._filler)

    def publish(self, aside: Path) -> None:
        """Keeps the old segments in the directory ``aside``, and puts the new ones in their places."""
        self._close()
        make_directory(aside)
        for path in sorted(self._directory.glob(f"*{SUFFIX}")):
            os.link(path, aside / path.name)
        sync_directory(aside)
        for path in self._written:
            publish(path, path.with_name(path.name.removesuffix(TEMPORARY_SUFFIX)))

    def _close(self) -> None:
        if self._header is None:
            return
        if self._header.kind is Kind.SNAPSHOT:
            self._write(self._header.last_sequence, b"")
        os.fsync(self._fd)
        os.close(self._fd)
        self._header = None

    def _write(self, sequence: int, payload: bytes) -> None:
        assert self._header is not None
        synced = self._header.last_sequence or sequence - 1
        frame = encode_frame_header(sequence, synced, payload) + payload
        write_all(self._fd, frame, self._offset)
        self._offset += len(frame)
