"""Where the tests of reliability keep their files: in memory, or on a disk that is small enough to be filled."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

SMALL_DISK_MIB = 16


@pytest.fixture
def memory() -> Iterator[Path]:
    """A directory on a file system in memory, where there is one: thousands of states are laid out."""
    shared = Path("/dev/shm")
    root = Path(tempfile.mkdtemp(prefix="taskd-test-", dir=shared if os.access(shared, os.W_OK) else None))
    yield root
    shutil.rmtree(root)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB of its own."""
    mounted = tmp_path / "disk"
    mounted.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK_MIB}m", "tmpfs", str(mounted)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command here")
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
    yield mounted
    subprocess.run(["umount", "--lazy", str(mounted)], check=True)
