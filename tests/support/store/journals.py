"""Journals for tests: written by the real writer, without an event loop."""

import threading
from collections.abc import Sequence
from pathlib import Path

from taskd.store.embedded.journal.directory import segments
from taskd.store.embedded.journal.replay import Replay
from taskd.store.embedded.journal.writer import Entry, JournalWriter, Position, create_segment

SEGMENT_BYTES = 64 << 20


class CommitListener:
    """A listener that keeps what it is called with, and lets a test wait for it."""

    def __init__(self) -> None:
        self.committed_groups: list[list[Entry]] = []
        self.refusals: list[tuple[list[Entry], OSError]] = []
        self.fatal_error: BaseException | None = None
        self._changed = threading.Condition()

    def committed(self, group: Sequence[Entry]) -> None:
        with self._changed:
            self.committed_groups.append(list(group))
            self._changed.notify_all()

    def refused(self, group: Sequence[Entry], error: OSError) -> None:
        with self._changed:
            self.refusals.append((list(group), error))
            self._changed.notify_all()

    def fatal(self, error: BaseException) -> None:
        with self._changed:
            self.fatal_error = error
            self._changed.notify_all()

    def wait_for(self, condition: object) -> None:
        """Waits until ``condition()`` holds; a minute at most, so that a defect fails instead of hanging."""
        assert callable(condition)
        with self._changed:
            assert self._changed.wait_for(condition, 60)


def open_writer(directory: Path, listener: CommitListener, segment_bytes: int = SEGMENT_BYTES) -> JournalWriter[Entry]:
    """A started writer behind whatever ``directory`` holds."""
    live, _ = segments(directory)
    replay = Replay(live)
    for _ in replay:
        pass
    if live:
        position = Position(live[-1].path, replay.end_offset, replay.last_sequence)
    else:
        position = Position(create_segment(directory, 1, 0), 44, 0)
    writer: JournalWriter[Entry] = JournalWriter(position, listener, segment_bytes=segment_bytes, clock=lambda: 0)
    writer.start()
    return writer


def write_journal(directory: Path, payloads: Sequence[bytes], segment_bytes: int = SEGMENT_BYTES) -> None:
    """Appends ``payloads``, each a frame in a group of its own, so that each but the last is known to be synced."""
    listener = CommitListener()
    writer = open_writer(directory, listener, segment_bytes)
    for count, payload in enumerate(payloads, 1):
        writer.append([Entry(payload=payload, essential=False)])
        listener.wait_for(lambda count=count: len(listener.committed_groups) == count)
    writer.close()
    assert listener.fatal_error is None


def read_journal(directory: Path) -> list[bytes]:
    """All payloads, in order."""
    live, _ = segments(directory)
    return [bytes(payload) for _, payload in Replay(live)]
