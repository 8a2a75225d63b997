"""The zeros that a segment is filled with ahead of its frames: no frame, no damage, and never in a sealed segment."""

import os
from pathlib import Path

import pytest
from support.store.journals import CommitListener, open_writer, read_journal, write_journal

from taskd.store.embedded.errors import JournalDamagedError
from taskd.store.embedded.journal import writer as journal_writer
from taskd.store.embedded.journal.compaction import replace_with_snapshot
from taskd.store.embedded.journal.directory import segments
from taskd.store.embedded.journal.replay import Replay
from taskd.store.embedded.journal.salvage import Salvage
from taskd.store.embedded.journal.writer import FILL_BYTES, Entry

FRAME_BYTES = 24 + 5


def left_by_a_killed_writer(journal: Path) -> Path:
    """Writes a frame; gives the segment as it is when the process does not get to close it."""
    writer = open_writer(journal, CommitListener())
    writer._commit([Entry(payload=b"first", essential=False)])  # by this thread
    [path] = [segment.path for segment in segments(journal)[0]]
    left = path.read_bytes()
    writer.close()
    path.write_bytes(left)
    return path


def test_a_segment_is_filled_ahead_and_given_back_its_length_when_it_is_closed(journal: Path) -> None:
    path = left_by_a_killed_writer(journal)
    frames_end = 44 + FRAME_BYTES
    assert path.stat().st_size == frames_end + FILL_BYTES
    write_journal(journal, [b"after"])
    assert path.stat().st_size == frames_end + FRAME_BYTES


def test_zeros_after_the_last_frame_are_neither_torn_nor_damage(journal: Path) -> None:
    left_by_a_killed_writer(journal)
    replay = Replay(segments(journal)[0])
    assert [bytes(payload) for _, payload in replay] == [b"first"]
    assert (replay.torn_tail, replay.end_offset) == (None, 44 + FRAME_BYTES)
    salvage = Salvage(journal)
    assert [len(salvaged.frames) for salvaged in salvage] == [1]
    assert salvage.gaps == []


def test_zeros_after_a_snapshot_are_damage(journal: Path) -> None:
    write_journal(journal, [b"first", b"second"], segment_bytes=1)
    *sealed, begun = segments(journal)[0]
    replace_with_snapshot(sealed, begun.header.first_sequence - 1, [b"both"], created_ms=0)
    begun.path.unlink()
    with sealed[0].path.open("ab") as file:
        file.write(bytes(100))
    with pytest.raises(JournalDamagedError, match="bytes follow the end"):
        read_journal(journal)
    salvage = Salvage(journal)
    assert [len(salvaged.frames) for salvaged in salvage] == [1]
    assert [gap.size_bytes for gap in salvage.gaps] == [100]


@pytest.mark.parametrize("place", [0, 1, 1000, FILL_BYTES - 1])
def test_anything_among_the_zeros_is_a_torn_tail(journal: Path, place: int) -> None:
    path = left_by_a_killed_writer(journal)
    with path.open("r+b") as file:
        file.seek(44 + FRAME_BYTES + place)
        file.write(b"x")
    replay = Replay(segments(journal)[0])
    assert [bytes(payload) for _, payload in replay] == [b"first"]
    assert replay.torn_tail is not None
    assert replay.torn_tail.offset == 44 + FRAME_BYTES
    write_journal(journal, [b"after"])
    assert read_journal(journal) == [b"first", b"after"]


@pytest.mark.parametrize("segment_bytes", [100, 300, FILL_BYTES, FILL_BYTES + 100])
def test_a_sealed_segment_has_no_zeros(journal: Path, segment_bytes: int) -> None:
    payloads = [bytes([65 + number % 26]) * (segment_bytes // 3) for number in range(10)]
    write_journal(journal, payloads, segment_bytes)
    *sealed, _ = segments(journal)[0]
    assert sealed
    assert all(segment.path.read_bytes()[-1:] != b"\0" for segment in sealed)
    assert read_journal(journal) == payloads


def test_a_segment_that_is_sealed_early_gives_back_its_zeros_before_the_next_one_follows(journal: Path) -> None:
    writer = open_writer(journal, CommitListener())
    for payload in (b"first", b"again", b"after"):
        if payload == b"again":
            writer.seal()
        writer._commit([Entry(payload=payload, essential=False)])  # by this thread
    sealed, begun = [segment.path for segment in segments(journal)[0]]
    assert sealed.stat().st_size == 44 + 2 * FRAME_BYTES
    assert begun.stat().st_size == 44 + FRAME_BYTES + FILL_BYTES
    assert writer.sealed_below == 2
    assert [bytes(payload) for _, payload in Replay(segments(journal)[0])] == [b"first", b"again", b"after"]
    writer.close()


def test_frames_that_overtake_the_zeros_are_written_whole(journal: Path) -> None:
    payloads = [b"short", b"x" * (FILL_BYTES - 100), b"y" * (2 * FILL_BYTES), b"end"]
    write_journal(journal, payloads)
    assert read_journal(journal) == payloads


@pytest.mark.parametrize("answer", [OSError(5, "Input/output error"), os.statvfs_result((0,) * 10)])
def test_a_file_system_that_does_not_tell_is_not_taken_for_full(
    journal: Path, monkeypatch: pytest.MonkeyPatch, answer: OSError | os.statvfs_result
) -> None:
    def fstatvfs(fd: int) -> os.statvfs_result:
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr(os, "fstatvfs", fstatvfs)
    write_journal(journal, [b"first", b"second"])
    assert read_journal(journal) == [b"first", b"second"]


def test_a_full_disk_is_noticed_though_the_zeros_have_room(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listener = CommitListener()
    writer = open_writer(journal, listener)
    writer._commit([Entry(payload=b"before", essential=False)])
    real = os.fstatvfs

    def no_space(fd: int) -> os.statvfs_result:
        found = list(real(fd))
        found[3] = found[4] = 0  # f_bfree, f_bavail
        return os.statvfs_result(found)

    monkeypatch.setattr(journal_writer, "LOOK_INTERVAL_S", 0.0)
    monkeypatch.setattr(os, "fstatvfs", no_space)
    group = [Entry(payload=b"new", essential=False), Entry(payload=b"end", essential=True)]
    writer._look_again_s = 0.0
    writer._commit(group)
    assert [entry.payload for refused, _ in listener.refusals for entry in refused] == [b"new"]
    full = writer.full
    assert full is not None
    monkeypatch.setattr(os, "fstatvfs", real)
    writer._commit([Entry(payload=b"again", essential=False)])
    assert writer.full is None
    writer.close()
    assert read_journal(journal) == [b"before", b"end", b"again"]
