"""Where the tests of reliability keep their files: in memory, or on a disk that is small enough to be filled."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.memory import memory_directory

SMALL_DISK_MIB = 16


@pytest.fixture
def memory() -> Iterator[Path]:
    """A directory in memory: thousands of states are laid out."""
    with memory_directory() as root:
        yield root


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
