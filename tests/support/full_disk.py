"""A disk without any space left."""

import errno
import os
from pathlib import Path


def fill(directory: Path) -> Path:
    """A file that leaves not a byte of space."""
    filler = directory / "filler"
    fd = os.open(filler, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    chunk = 1 << 20
    while chunk:
        try:
            os.write(fd, b"f" * chunk)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            chunk //= 2
    os.close(fd)
    return filler
