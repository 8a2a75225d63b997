"""Where the tests of reliability keep their files: in memory, or on a disk that is small enough to be filled."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.disk.full_disk import NoMountError, small_disk_at
from support.disk.in_memory import memory_directory

from taskd.store.embedded.journal import writer

SMALL_DISK_MIB = 16


@pytest.fixture
def memory() -> Iterator[Path]:
    """A directory in memory: thousands of states are laid out."""
    with memory_directory() as root:
        yield root


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file system of 16 MiB of its own, which a store in this process looks at for every group that it writes."""
    monkeypatch.setattr(writer, "LOOK_INTERVAL_S", 0.0)
    try:
        with small_disk_at(tmp_path / "disk", SMALL_DISK_MIB) as mounted:
            yield mounted
    except NoMountError as error:
        pytest.skip(str(error))
