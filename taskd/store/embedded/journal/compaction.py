"""Putting one snapshot in the place of many sealed segments, so that no moment of a crash loses either.

The snapshot takes the name of the first segment it replaces, so the rename removes that one and publishes the
snapshot in one step. From then on its header says which others are stale, whether or not they are still there.
"""

import os
from collections.abc import Iterable
from itertools import chain

from taskd.store.embedded.journal.directory import TEMPORARY_SUFFIX, Segment, remove_segments
from taskd.store.embedded.journal.format import Kind, SegmentHeader, encode_frame_header, encode_segment_header
from taskd.store.embedded.journal.writer import write_all
from taskd.system.files import open_private, publish


def replace_with_snapshot(sealed: list[Segment], last_sequence: int, payloads: Iterable[bytes], created_ms: int) -> int:
    """Writes ``payloads`` as the snapshot of ``sealed``, which end with ``last_sequence``, and deletes those.

    Gives the size of the snapshot in bytes.

    :raises OSError: the snapshot is not there and everything is as it was, or only stale segments were left over.
    :raises SyncFailedError: nobody knows which of the two a power cut would leave.
    """
    first = sealed[0]
    header = SegmentHeader(Kind.SNAPSHOT, first.header.first_sequence, last_sequence, created_ms)
    temporary = first.path.with_name(first.path.name + TEMPORARY_SUFFIX)
    fd = open_private(temporary, os.O_WRONLY | os.O_TRUNC)
    try:
        size_bytes = _write_snapshot(fd, header, payloads)
        os.fsync(fd)
        publish(temporary, first.path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)
    remove_segments(first.path.parent, sealed[1:])
    return size_bytes


def _write_snapshot(fd: int, header: SegmentHeader, payloads: Iterable[bytes]) -> int:
    start = encode_segment_header(header)
    write_all(fd, start, 0)
    offset = len(start)
    for payload in chain(payloads, [b""]):
        frame = encode_frame_header(header.last_sequence, header.last_sequence, payload) + payload
        write_all(fd, frame, offset)
        offset += len(frame)
    return offset
