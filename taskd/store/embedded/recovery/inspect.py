"""Looking into a journal from outside, without changing it: is it sound, what does it say, how big is it.

``directory`` is a data directory, as ``taskd serve --data`` takes it. A daemon may be running on it: its newest
frames, being written this moment, may then look like a torn tail.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from taskd.model.status import Status
from taskd.store.embedded.errors import JournalDamagedError, StoreError
from taskd.store.embedded.events import Event, decode_events
from taskd.store.embedded.journal.directory import segments
from taskd.store.embedded.journal.format import Kind
from taskd.store.embedded.journal.replay import Replay, TornTail
from taskd.store.embedded.recovery.recover import apply_payload
from taskd.store.embedded.state import LiveState


class Report(Struct, frozen=True):
    """What :func:`verify` found: sound if there is no ``damage``. A torn tail is what a crash leaves, and none."""

    segments: int
    frames: int
    last_sequence: int
    live_tasks: int
    torn_tail: TornTail | None
    damage: JournalDamagedError | None


class SegmentStats(Struct, frozen=True):
    """One segment file."""

    name: str
    kind: str
    size_bytes: int
    frames: int


class Stats(Struct, frozen=True):
    """What :func:`stats` counted."""

    segments: list[SegmentStats]
    events: dict[str, int]
    waiting_tasks: int
    running_tasks: int
    ended_tasks: int
    functions: int
    schedules: int


class DumpedFrame(Struct, frozen=True):
    """One frame, decoded."""

    segment: str
    sequence: int
    events: list[Event]


def verify(directory: Path) -> Report:
    """Reads every byte, and replays every event.

    :raises StoreError: if there is no journal.
    """
    state = LiveState()
    replay = Replay([])
    damage: JournalDamagedError | None = None
    count = len(list(_journal(directory).glob("*.journal")))
    try:
        replay = _open(directory)
        for _, payload in replay:
            assert replay.segment is not None
            apply_payload(state, payload, replay.segment.path, replay.end_offset)
            state.deleted.clear()
    except JournalDamagedError as error:
        damage = error
    return Report(count, replay.frames, replay.last_sequence, len(state.tasks), replay.torn_tail, damage)


def dump(directory: Path) -> Iterator[DumpedFrame]:
    """Every frame in order; raises ``StoreError`` where the journal is damaged or is none."""
    replay = _open(directory)
    for sequence, payload in replay:
        assert replay.segment is not None
        try:
            events = decode_events(payload)
        except msgspec.DecodeError as error:
            raise JournalDamagedError(replay.segment.path, replay.end_offset, str(error)) from error
        yield DumpedFrame(replay.segment.path.name, sequence, events)


def stats(directory: Path) -> Stats:
    """Counts what there is; raises ``StoreError`` where the journal is damaged or is none."""
    state = LiveState()
    frames: Counter[str] = Counter()
    events: Counter[str] = Counter()
    for frame in dump(directory):
        frames[frame.segment] += 1
        events.update(type(event).__name__ for event in frame.events)
        state.apply_all(frame.events)
    running = sum(task.status is Status.IN_PROGRESS for task in state.tasks.values())
    return Stats(
        segments=[_segment_stats(*entry, frames) for entry in _sizes(directory)],
        events=dict(sorted(events.items())),
        waiting_tasks=len(state.tasks) - running,
        running_tasks=running,
        ended_tasks=state.ended,
        functions=len(state.functions),
        schedules=len(state.schedules),
    )


def _journal(directory: Path) -> Path:
    journal = directory / "journal"
    if not journal.is_dir():
        raise StoreError(f"{directory} is no data directory of taskd: there is no folder 'journal' in it.")
    return journal


def _open(directory: Path) -> Replay:
    return Replay(segments(_journal(directory))[0])


def _sizes(directory: Path) -> list[tuple[str, Kind, int]]:
    live, _ = segments(_journal(directory))
    return [(segment.path.name, segment.header.kind, segment.size_bytes) for segment in live]


def _segment_stats(name: str, kind: Kind, size_bytes: int, frames: Counter[str]) -> SegmentStats:
    return SegmentStats(name, kind.name.lower(), size_bytes, frames[name])
