"""Lists of matches, a file for each running operation: the numbers of its tasks, in the order of their turns.

A million of them are 8 MB that nobody holds in memory. A list is written once, is durable before the journal knows of
its operation, and goes when that has ended. The journal says how far an operation has come; nothing here ever does.

A file is a header (a magic, the format's version, the CRC-32 of the rest, the number of matches) and the matches,
8 bytes each; all of it is big-endian.
"""

import os
import zlib
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from struct import Struct, unpack

from taskd.model.errors import TaskdError
from taskd.store.embedded.catalogue.matches import SEQ_BYTES
from taskd.system.files import make_directory, open_private, publish

_MAGIC = b"taskdops"
_VERSION = 1
_HEADER = Struct(">8sIIQ")
_READ_BYTES = 1 << 20
_SUFFIX = ".matches"
_TEMPORARY = ".tmp"


class MatchesLostError(TaskdError):
    """The list of an operation is not there, or not as it was written."""


class MatchFiles:
    """The lists in one directory, which is made with the first of them. Everything here blocks."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._sound: set[str] = set()
        """The operations whose lists were found to be as they were written."""

    def write(self, operation_id: str, parts: Iterable[bytes]) -> int:
        """Keeps what ``parts`` give, durably; gives how many matches that is. Where it raises, there is no list.

        :raises OSError: it cannot be written.
        :raises SyncFailedError: nobody knows what is on the disk.
        """
        make_directory(self._directory)
        path = self._path(operation_id)
        temporary = path.with_suffix(_TEMPORARY)
        try:
            if count := _write(temporary, parts):
                publish(temporary, path)
            else:
                temporary.unlink()
        except BaseException:
            with suppress(OSError):  # the next start removes it
                temporary.unlink(missing_ok=True)
            raise
        return count

    def read(self, operation_id: str, position: int, count: int) -> list[int]:
        """``count`` matches, from number ``position`` on.

        :raises MatchesLostError: they are not there, or damaged.
        :raises OSError: they cannot be read now.
        """
        path = self._path(operation_id)
        try:
            if operation_id not in self._sound:
                _check(path)
                self._sound.add(operation_id)
            with path.open("rb") as file:
                file.seek(_HEADER.size + position * SEQ_BYTES)
                found = file.read(count * SEQ_BYTES)
        except FileNotFoundError:
            raise MatchesLostError(f"Its list of tasks, {path}, is gone.") from None
        if len(found) < count * SEQ_BYTES:
            raise _damaged(path)
        return list(unpack(f">{count}Q", found))

    def remove(self, operation_id: str) -> None:
        """The list is wanted no more. If a power cut brings it back, :meth:`keep_only` takes it."""
        self._sound.discard(operation_id)
        self._path(operation_id).unlink(missing_ok=True)

    def keep_only(self, operation_ids: Collection[str]) -> None:
        """Removes what an earlier process left that belongs to none of these."""
        if not self._directory.is_dir():
            return
        for path in self._directory.iterdir():
            if path.suffix == _TEMPORARY or (path.suffix == _SUFFIX and path.stem not in operation_ids):
                path.unlink(missing_ok=True)

    def _path(self, operation_id: str) -> Path:
        return self._directory / f"{operation_id}{_SUFFIX}"


def _write(path: Path, parts: Iterable[bytes]) -> int:
    with os.fdopen(open_private(path, os.O_WRONLY | os.O_TRUNC), "wb") as file:
        file.write(bytes(_HEADER.size))
        crc = size_bytes = 0
        for part in parts:
            crc = zlib.crc32(part, crc)
            size_bytes += file.write(part)
        file.seek(0)
        count = size_bytes // SEQ_BYTES
        file.write(_HEADER.pack(_MAGIC, _VERSION, crc, count))
        file.flush()
        if count:
            os.fsync(file.fileno())
    return count


def _check(path: Path) -> None:
    with path.open("rb") as file:
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size:
            raise _damaged(path)
        magic, version, expected, count = _HEADER.unpack(header)
        if (magic, version) != (_MAGIC, _VERSION):
            raise _damaged(path)
        crc = size_bytes = 0
        while part := file.read(_READ_BYTES):
            crc = zlib.crc32(part, crc)
            size_bytes += len(part)
    if (crc, size_bytes) != (expected, count * SEQ_BYTES):
        raise _damaged(path)


def _damaged(path: Path) -> MatchesLostError:
    return MatchesLostError(f"Its list of tasks, {path}, is damaged.")
