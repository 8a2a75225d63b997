"""The journal by itself: what was written comes back; what was damaged is noticed."""

import errno
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.store.journals import CommitListener, open_writer, read_journal, write_journal

from taskd.store.embedded.errors import DirectoryInUseError, JournalDamagedError
from taskd.store.embedded.journal.compaction import replace_with_snapshot
from taskd.store.embedded.journal.directory import DirectoryLock, segments
from taskd.store.embedded.journal.format import SEGMENT_HEADER_BYTES, Kind
from taskd.store.embedded.journal.replay import Replay
from taskd.store.embedded.journal.writer import Entry
from taskd.system.files import SyncFailedError

PAYLOADS = [b"first", b"second" * 10, b"\x00" * 30, b"fourth"]


def test_what_was_written_comes_back_in_order(journal: Path) -> None:
    write_journal(journal, PAYLOADS)
    assert read_journal(journal) == PAYLOADS


def test_a_second_writer_goes_on_behind_the_first(journal: Path) -> None:
    write_journal(journal, PAYLOADS[:2])
    write_journal(journal, PAYLOADS[2:])
    assert read_journal(journal) == PAYLOADS


def test_a_long_segment_is_sealed_and_a_new_one_begun(journal: Path) -> None:
    payloads = [bytes([65 + n]) * 100 for n in range(10)]
    write_journal(journal, payloads, segment_bytes=300)
    live, stale = segments(journal)
    assert len(live) > 3
    assert not stale
    assert read_journal(journal) == payloads


def test_frames_queued_while_a_sync_runs_share_the_next_one(journal: Path) -> None:
    listener = CommitListener()
    writer = open_writer(journal, listener)
    for number in range(500):
        writer.append([Entry(payload=b"%d" % number, essential=False)])
    writer.close()
    assert sum(len(group) for group in listener.committed_groups) == 500
    assert len(listener.committed_groups) < 500
    assert read_journal(journal) == [b"%d" % number for number in range(500)]


@pytest.mark.parametrize("cut", range(1, 25))
def test_a_torn_tail_gives_back_all_before_it(journal: Path, cut: int) -> None:
    write_journal(journal, PAYLOADS)
    path = segments(journal)[0][0].path
    os.truncate(path, path.stat().st_size - cut)
    replay = Replay(segments(journal)[0])
    assert [bytes(payload) for _, payload in replay] == PAYLOADS[:3]
    assert replay.torn_tail is not None
    write_journal(journal, [b"after"])
    assert read_journal(journal) == [*PAYLOADS[:3], b"after"]


def test_frames_of_one_unsynced_group_may_be_torn_in_any_order(journal: Path) -> None:
    """A power cut may keep the end of a write and lose its beginning; none of it was acknowledged."""
    write_journal(journal, PAYLOADS[:1])
    listener = CommitListener()
    writer = open_writer(journal, listener)
    group = [Entry(payload=payload, essential=False) for payload in PAYLOADS[1:]]
    writer._commit(group)  # one group, written by this thread
    writer.close()
    path = segments(journal)[0][0].path
    data = bytearray(path.read_bytes())
    data[data.index(b"second")] ^= 1
    path.write_bytes(data)
    replay = Replay(segments(journal)[0])
    assert [bytes(payload) for _, payload in replay] == PAYLOADS[:1]
    assert replay.torn_tail is not None


def test_every_flipped_bit_is_noticed(journal: Path) -> None:
    """Damage either stops the start, naming file and offset, or touches only what no later frame vouches for."""
    write_journal(journal, PAYLOADS)
    path = segments(journal)[0][0].path
    sound = path.read_bytes()
    last_frame = sound.rindex(PAYLOADS[-1]) - 24
    for bit in range(len(sound) * 8):
        damaged = bytearray(sound)
        damaged[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(damaged)
        if bit // 8 >= last_frame:
            assert read_journal(journal) == PAYLOADS[:-1]
        else:
            with pytest.raises(JournalDamagedError) as raised:
                read_journal(journal)
            assert raised.value.path == path
            assert raised.value.offset <= bit // 8


def test_every_truncation_gives_a_prefix_or_says_what_is_wrong(journal: Path) -> None:
    write_journal(journal, PAYLOADS)
    path = segments(journal)[0][0].path
    sound = path.read_bytes()
    for length in range(len(sound)):
        path.write_bytes(sound[:length])
        if length < SEGMENT_HEADER_BYTES:
            with pytest.raises(JournalDamagedError):
                read_journal(journal)
        else:
            found = read_journal(journal)
            assert found == PAYLOADS[: len(found)]
            assert len(found) < len(PAYLOADS)


def test_damage_in_a_sealed_segment_stops_the_start(journal: Path) -> None:
    write_journal(journal, PAYLOADS, segment_bytes=80)
    first = segments(journal)[0][0].path
    os.truncate(first, first.stat().st_size - 1)
    with pytest.raises(JournalDamagedError, match=first.name):
        read_journal(journal)


def test_a_missing_segment_stops_the_start(journal: Path) -> None:
    write_journal(journal, PAYLOADS, segment_bytes=50)
    live, _ = segments(journal)
    live[1].path.unlink()
    with pytest.raises(JournalDamagedError, match="comes next"):
        read_journal(journal)


def test_a_missing_first_segment_stops_the_start(journal: Path) -> None:
    write_journal(journal, PAYLOADS, segment_bytes=50)
    segments(journal)[0][0].path.unlink()
    with pytest.raises(JournalDamagedError, match="missing"):
        read_journal(journal)


def test_a_snapshot_takes_the_place_of_sealed_segments(journal: Path) -> None:
    write_journal(journal, PAYLOADS, segment_bytes=50)
    sealed = segments(journal)[0][:-1]
    last = len(read_journal(journal))
    replace_with_snapshot(sealed, last, [b"one", b"two"], 0)
    live, stale = segments(journal)
    assert live[0].header.kind is Kind.SNAPSHOT
    assert not stale
    assert read_journal(journal) == [b"one", b"two"]
    write_journal(journal, [b"after"])
    assert read_journal(journal) == [b"one", b"two", b"after"]


def test_segments_left_by_an_interrupted_compaction_are_known_as_stale(journal: Path) -> None:
    write_journal(journal, PAYLOADS, segment_bytes=50)
    sealed = segments(journal)[0][:-1]
    kept = {segment.path: segment.path.read_bytes() for segment in sealed[1:]}
    replace_with_snapshot(sealed, len(PAYLOADS), [b"all"], 0)
    for path, data in kept.items():
        path.write_bytes(data)
    live, stale = segments(journal)
    assert {segment.path for segment in stale} == set(kept)
    assert [bytes(payload) for _, payload in Replay(live)] == [b"all"]


def test_a_snapshot_cut_short_stops_the_start(journal: Path) -> None:
    write_journal(journal, PAYLOADS, segment_bytes=50)
    sealed = segments(journal)[0][:-1]
    replace_with_snapshot(sealed, len(PAYLOADS), [b"one", b"two"], 0)
    path = sealed[0].path
    sound = path.read_bytes()
    for length in range(SEGMENT_HEADER_BYTES, len(sound)):
        path.write_bytes(sound[:length])
        with pytest.raises(JournalDamagedError):
            read_journal(journal)


def test_a_second_daemon_is_kept_off_the_directory(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path)
    with pytest.raises(DirectoryInUseError, match=str(os.getpid())):
        DirectoryLock(tmp_path)
    lock.release()
    DirectoryLock(tmp_path).release()


def test_a_failed_write_is_cut_back_and_refused(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_journal(journal, PAYLOADS[:2])
    listener = CommitListener()
    writer = open_writer(journal, listener)
    real_pwrite = os.pwrite

    def short_of_space(fd: int, data: bytes, offset: int) -> int:
        if len(data) < 40:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_pwrite(fd, data[:40], offset)

    monkeypatch.setattr(os, "pwrite", short_of_space)
    writer.append([Entry(payload=b"x" * 200, essential=False)])
    listener.wait_for(lambda: listener.refusals)
    assert listener.refusals[0][1].errno == errno.ENOSPC
    monkeypatch.undo()
    writer.append([Entry(payload=b"again", essential=False)])
    writer.close()
    assert listener.fatal_error is None
    assert read_journal(journal) == [*PAYLOADS[:2], b"again"]


def test_a_failed_sync_stops_the_writer_for_good(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listener = CommitListener()
    writer = open_writer(journal, listener)

    def broken(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", broken)
    writer.append([Entry(payload=b"lost", essential=False)])
    listener.wait_for(lambda: listener.fatal_error)
    assert not listener.committed_groups
    monkeypatch.undo()
    writer.close()


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_as_a_tail_give_the_frames_before_them(tmp_path_factory: pytest.TempPathFactory, tail: bytes) -> None:
    journal = tmp_path_factory.mktemp("journal")
    write_journal(journal, PAYLOADS[:2])
    with segments(journal)[0][0].path.open("ab") as file:
        file.write(tail)
    assert read_journal(journal) == PAYLOADS[:2]


def test_a_rotation_that_fails_half_way_leaves_no_segment_that_contradicts_the_one_in_use(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """File descriptors run out between the new segment's first byte and its first frame: the old one goes on."""
    listener = CommitListener()
    writer = open_writer(journal, listener, segment_bytes=100)
    real_open = os.open

    def none_left(path: Path, flags: int, *args: int) -> int:
        if flags & os.O_DIRECTORY:
            raise OSError(errno.EMFILE, "Too many open files")
        return real_open(path, flags, *args)

    monkeypatch.setattr(os, "open", none_left)
    writer._commit([Entry(payload=b"a" * 100, essential=False)])
    assert writer.full is not None
    monkeypatch.undo()
    writer._commit([Entry(payload=b"b" * 100, essential=False)])
    writer.close()
    assert read_journal(journal) == [b"a" * 100, b"b" * 100]
    assert not list(journal.glob("*.tmp"))


def test_the_segment_being_written_is_not_taken_for_sealed_after_a_restart(journal: Path) -> None:
    write_journal(journal, PAYLOADS)
    writer = open_writer(journal, CommitListener())
    assert writer.sealed_below == 0
    writer.close()


def test_a_directory_that_cannot_be_synced_stops_the_writer_for_good(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = CommitListener()
    writer = open_writer(journal, listener, segment_bytes=100)
    real_fsync = os.fsync

    def broken(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(errno.EIO, "Input/output error")
        real_fsync(fd)

    monkeypatch.setattr(os, "fsync", broken)
    writer.append([Entry(payload=b"x" * 100, essential=False)])
    listener.wait_for(lambda: listener.fatal_error)
    assert isinstance(listener.fatal_error, SyncFailedError)
    monkeypatch.undo()
    writer.close()
