"""The bytes on disk: segments and frames.

A segment is a file ``<first sequence, 20 digits>.journal``: a header, then frames end to end.

====================  ==================================================================
segment header        magic 8s, version u16, kind u16, reserved u32,
                      first sequence u64, last sequence u64, created u64 (ms), crc32 u32
frame                 crc32 u32, length u32, sequence u64, synced u64, payload
====================  ==================================================================

All integers are little-endian. A checksum covers everything in its header but itself, and the payload. A *log*
segment holds frames as they were written, one sequence number apart, and its last sequence is 0. A *snapshot*
segment stands for every frame from its first to its last sequence: its frames carry the last one, and its
final frame is the only one with an empty payload, so that a snapshot cut short is told from a whole one.

The last log segment may be filled with zeros behind its frames, to be overwritten by the next ones.

``synced`` is the newest sequence known to be on stable storage when the frame was written. It is what tells
a torn tail from damage: a bad frame was never acknowledged unless a later frame says that it was synced.

To change the format: raise ``VERSION``, keep a reader for every version that was ever released and choose it by
the header, write only the newest, and add a journal written by the old release to the fixtures of the tests.
Events may grow by trailing fields with defaults without a new version.
"""

import struct
import zlib
from enum import IntEnum

from msgspec import Struct

MAGIC = b"taskdjnl"
VERSION = 1
SUFFIX = ".journal"
MAX_PAYLOAD_BYTES = 1 << 30

_SEGMENT = struct.Struct("<8sHHIQQQ")
_CRC = struct.Struct("<I")
SEGMENT_HEADER_BYTES = _SEGMENT.size + _CRC.size
_FRAME = struct.Struct("<IIQQ")
_FRAME_CHECKED = struct.Struct("<IQQ")
FRAME_HEADER_BYTES = _FRAME.size


class Kind(IntEnum):
    """What a segment holds."""

    LOG = 0
    SNAPSHOT = 1


class FormatError(Exception):
    """Bytes that are no header or no frame; the message says why."""


class SegmentHeader(Struct, frozen=True):
    """The head of a segment; ``last_sequence`` is 0 for a log segment."""

    kind: Kind
    first_sequence: int
    last_sequence: int
    created_ms: int


class Frame(Struct, frozen=True, gc=False):
    """One atomic batch of events, and where the next frame begins."""

    sequence: int
    synced: int
    payload: memoryview
    end: int


def segment_name(first_sequence: int) -> str:
    """The file name of the segment that begins with this sequence."""
    return f"{first_sequence:020d}{SUFFIX}"


def first_sequence_of(name: str) -> int:
    """The sequence that the segment of this file name begins with."""
    return int(name.removesuffix(SUFFIX))


def encode_segment_header(header: SegmentHeader) -> bytes:
    """The bytes a segment begins with."""
    fixed = _SEGMENT.pack(
        MAGIC, VERSION, header.kind, 0, header.first_sequence, header.last_sequence, header.created_ms
    )
    return fixed + _CRC.pack(zlib.crc32(fixed))


def decode_segment_header(data: bytes | memoryview) -> SegmentHeader:
    """The header at the beginning of ``data``; raises :class:`FormatError`."""
    if len(data) < SEGMENT_HEADER_BYTES:
        raise FormatError(f"a segment header takes {SEGMENT_HEADER_BYTES} bytes, here are {len(data)}")
    magic, version, kind, _, first, last, created_ms = _SEGMENT.unpack_from(data)
    if magic != MAGIC:
        raise FormatError("this is no taskd journal")
    if _CRC.unpack_from(data, _SEGMENT.size)[0] != zlib.crc32(data[: _SEGMENT.size]):
        raise FormatError("the segment header's checksum does not match")
    if version != VERSION:
        raise FormatError(f"format version {version} is not one that this taskd reads ({VERSION})")
    if kind not in (Kind.LOG, Kind.SNAPSHOT):
        raise FormatError(f"unknown segment kind {kind}")
    return SegmentHeader(Kind(kind), first, last, created_ms)


def encode_frame_header(sequence: int, synced: int, payload: bytes) -> bytes:
    """The bytes that go before ``payload``."""
    checked = _FRAME_CHECKED.pack(len(payload), sequence, synced)
    return _CRC.pack(zlib.crc32(payload, zlib.crc32(checked))) + checked


def decode_frame(data: memoryview, offset: int) -> Frame:
    """The frame at ``offset``; raises :class:`FormatError` if there is no whole, undamaged one."""
    payload_at = offset + FRAME_HEADER_BYTES
    if payload_at > len(data):
        raise FormatError("the frame header is cut short")
    crc, length, sequence, synced = _FRAME.unpack_from(data, offset)
    end = payload_at + length
    if end > len(data):
        raise FormatError(f"the frame says {length} bytes, only {len(data) - payload_at} follow")
    if zlib.crc32(data[offset + _CRC.size : end]) != crc:
        raise FormatError("the frame's checksum does not match")
    return Frame(sequence, synced, data[payload_at:end], end)
