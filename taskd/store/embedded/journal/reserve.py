"""Disk space set aside, so that what was accepted can still be brought to its end on a full disk.

It stays set aside between two processes: the second begins by letting go of it, and so can start on a full disk.
"""

import os
from contextlib import suppress
from pathlib import Path

from taskd.system.files import open_private

_STEP_BYTES = 1 << 20
_NAME = "reserve"


def release_reserve(journal: Path) -> None:
    """Gives back what an earlier process had set aside in the directory ``journal``."""
    with suppress(FileNotFoundError):
        os.truncate(journal / _NAME, 0)


class SpaceReserve:
    """A file of allocated, unused blocks beside the journal; letting go of it is what frees the space."""

    def __init__(self, journal: Path) -> None:
        self._fd = open_private(journal / _NAME, os.O_RDWR)
        self._held_bytes = 0
        self.release()

    @property
    def held(self) -> bool:
        """Whether any space is set aside now."""
        return self._held_bytes > 0

    def ensure(self, size_bytes: int) -> None:
        """Sets aside at least ``size_bytes``, in steps of a MiB, or raises ``OSError`` and keeps what it has."""
        wanted = -(-size_bytes // _STEP_BYTES) * _STEP_BYTES
        if wanted > self._held_bytes:
            os.posix_fallocate(self._fd, 0, wanted)
            self._held_bytes = wanted

    def release(self) -> None:
        """Gives the space back to the file system."""
        os.ftruncate(self._fd, 0)
        self._held_bytes = 0

    def close(self) -> None:
        """Closes the file. The space stays set aside."""
        os.close(self._fd)
