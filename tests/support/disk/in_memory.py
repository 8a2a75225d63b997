"""Files in memory: for tests that make thousands of directories, and would otherwise wait for the disk."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SHARED = Path("/dev/shm")


@contextmanager
def memory_directory() -> Iterator[Path]:
    """A directory on a file system in memory, where there is one; it goes at the end with all that is in it."""
    root = Path(tempfile.mkdtemp(prefix="taskd-test-", dir=_SHARED if os.access(_SHARED, os.W_OK) else None))
    try:
        yield root
    finally:
        shutil.rmtree(root)
