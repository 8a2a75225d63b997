"""A disk that is small, and a disk without any space left."""

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class NoMountError(Exception):
    """A file system cannot be mounted here; says why."""


@contextmanager
def small_disk_at(directory: Path, size_mib: int) -> Iterator[Path]:
    """Meanwhile ``directory`` is a file system of its own, in memory. Raises ``NoMountError``."""
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "tmpfs", str(directory)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise NoMountError("there is no mount command here") from None
    if done.returncode:
        raise NoMountError(f"mounting is not allowed here: {done.stderr.strip()}")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


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
