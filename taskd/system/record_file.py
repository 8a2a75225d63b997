"""One small record in a file, overwritten in place: durable, all or nothing, and without taking more of a full disk.

The record is written alternately to two places, each with a sequence number and a checksum. A write that a crash tears
leaves the other one, which is the record before.
"""

import os
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

from taskd.model.errors import TaskdError
from taskd.system.files import make_directory, open_private, sync_directory

_BLOCK_BYTES = 4096
"""What is written together at least: the places must not share one."""
_HEADER = struct.Struct("<QII")


class DamagedRecordError(TaskdError):
    """Neither place of a record file holds a record, nor is it one that was never written."""


class _Record(NamedTuple):
    sequence: int
    content: bytes


class RecordFile:
    """The record at ``path``, of at most ``max_bytes``; the file is made with the first write. For one thread."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self._place_bytes = -(-(_HEADER.size + max_bytes) // _BLOCK_BYTES) * _BLOCK_BYTES
        self._sequence = 0
        self._fd: int | None = None

    def read(self) -> bytes | None:
        """The record; ``None`` if none was ever written.

        :raises OSError: it cannot be read.
        :raises DamagedRecordError: it is no record file, or both places are damaged.
        """
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        found = [record for at in (0, self._place_bytes) if (record := _parsed(content[at : at + self._place_bytes]))]
        if not found:
            if any(content):
                raise DamagedRecordError(f"{self.path} is damaged.")
            return None
        newest = max(found)
        self._sequence = newest.sequence
        return newest.content

    def write(self, content: bytes) -> None:
        """Replaces the record; it is durable on return.

        :raises OSError: the record is the one before, or this one.
        :raises SyncFailedError: the name of a new file could not be made durable.
        """
        if _HEADER.size + len(content) > self._place_bytes:
            raise ValueError(f"a record of {len(content)} bytes is too long")
        if self._fd is None:
            self._fd = self._opened()
        sequence = self._sequence + 1
        text = _HEADER.pack(sequence, len(content), _checksum(sequence, content)) + content
        at = sequence % 2 * self._place_bytes
        if os.pwrite(self._fd, text, at) != len(text):
            raise OSError(f"{self.path} was written in part")
        os.fdatasync(self._fd)
        self._sequence = sequence

    def close(self) -> None:
        """Closes the file."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _opened(self) -> int:
        make_directory(self.path.parent)
        fd = open_private(self.path, os.O_RDWR)
        try:
            missing = 2 * self._place_bytes - os.fstat(fd).st_size
            if missing > 0:
                os.pwrite(fd, bytes(missing), 2 * self._place_bytes - missing)
                os.fsync(fd)
            sync_directory(self.path.parent)
        except BaseException:
            os.close(fd)
            raise
        return fd


def _parsed(place: bytes) -> _Record | None:
    if len(place) < _HEADER.size:
        return None
    sequence, length, checksum = _HEADER.unpack_from(place)
    content = place[_HEADER.size : _HEADER.size + length]
    is_whole = sequence and len(content) == length and checksum == _checksum(sequence, content)
    return _Record(sequence, content) if is_whole else None


def _checksum(sequence: int, content: bytes) -> int:
    return zlib.crc32(content, zlib.crc32(sequence.to_bytes(8, "little")))
