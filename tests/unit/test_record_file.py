"""The record file: whatever a crash leaves of a write, the record before or the new one is there."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskd.system.record_file import DamagedRecordError, RecordFile

MAX_BYTES = 5000


@pytest.fixture
def record_file(tmp_path: Path) -> Iterator[RecordFile]:
    file = RecordFile(tmp_path / "record", MAX_BYTES)
    yield file
    file.close()


def read_anew(file: RecordFile) -> bytes | None:
    return RecordFile(file.path, MAX_BYTES).read()


def test_there_is_no_record_before_the_first(record_file: RecordFile) -> None:
    assert record_file.read() is None
    assert not record_file.path.exists()
    record_file.path.touch()
    assert read_anew(record_file) is None


def test_the_newest_record_is_read_and_the_file_does_not_grow(record_file: RecordFile) -> None:
    sizes = set()
    for number in range(10):
        record_file.write(str(number).encode() * number)
        assert read_anew(record_file) == str(number).encode() * number
        sizes.add(record_file.path.stat().st_size)
    assert len(sizes) == 1
    assert record_file.path.stat().st_mode & 0o777 == 0o600


def test_a_process_goes_on_from_the_record_of_another(record_file: RecordFile) -> None:
    for number in range(3):
        record_file.write(b"old %d" % number)
    other = RecordFile(record_file.path, MAX_BYTES)
    assert other.read() == b"old 2"
    other.write(b"new")
    assert read_anew(record_file) == b"new"
    other.close()


@given(st.lists(st.binary(max_size=100), min_size=1, max_size=4), st.binary(min_size=1, max_size=100), st.data())
def test_a_torn_write_leaves_the_record_before(
    tmp_path_factory: pytest.TempPathFactory, written: list[bytes], torn: bytes, data: st.DataObject
) -> None:
    file = RecordFile(tmp_path_factory.mktemp("torn") / "record", MAX_BYTES)
    for content in written:
        file.write(content)
    before = file.path.read_bytes()
    file.write(torn)
    after = file.path.read_bytes()
    file.close()
    changed = [at for at, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    arrived = data.draw(st.sets(st.sampled_from(changed), max_size=len(changed) - 1))
    file.path.write_bytes(bytes(after[at] if at in arrived else byte for at, byte in enumerate(before)))
    assert read_anew(file) == written[-1]


def test_a_file_of_which_nothing_is_whole_is_told_from_a_new_one(record_file: RecordFile) -> None:
    record_file.path.write_bytes(b"x" * 20_000)
    with pytest.raises(DamagedRecordError):
        record_file.read()


def test_a_record_that_is_too_long_is_refused(record_file: RecordFile) -> None:
    with pytest.raises(ValueError, match="too long"):
        record_file.write(bytes(9000))
