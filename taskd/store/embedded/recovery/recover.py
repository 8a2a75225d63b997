"""Coming back: from the files of a data directory to the live state, with the catalogue brought up to date."""

import logging
import time
from pathlib import Path

import msgspec
from msgspec import Struct

from taskd.model.clock import Clock
from taskd.model.task import IllegalTransitionError, Task
from taskd.store.embedded.errors import JournalDamagedError, StoreError
from taskd.store.embedded.events import decode_events
from taskd.store.embedded.journal.directory import remove_segments, remove_temporary_files, segments, sync_leftovers
from taskd.store.embedded.journal.format import SEGMENT_HEADER_BYTES, Kind
from taskd.store.embedded.journal.replay import Replay
from taskd.store.embedded.journal.writer import Position, create_segment
from taskd.store.embedded.recovery.history_gap import HistoryGap, Projection
from taskd.store.embedded.state import LiveState, apply_frame
from taskd.system.files import make_directory

log = logging.getLogger(__name__)
_PROGRESS_S = 1.0


class Recovered(Struct):
    """What an earlier process left."""

    state: LiveState
    position: Position
    lost_history: str | None
    """For people: which part of the history is lost; ``None`` if all of it is there."""


def recover(directory: Path, catalogue: Projection, clock: Clock) -> Recovered:
    """Reads the journal in ``directory`` into a new state, and hands ``catalogue`` what it has not seen.

    :raises JournalDamagedError: when that would lose or invent something.
    """
    make_directory(directory)
    remove_temporary_files(directory)
    live, stale = segments(directory)
    sync_leftovers(directory, live)
    if stale:
        remove_segments(directory, stale)
    replay = Replay(live)
    gap = HistoryGap(live, catalogue, clock())
    state = _fold(replay, catalogue, gap)
    _report(replay, catalogue)
    if not live or live[-1].header.kind is Kind.SNAPSHOT:
        path = create_segment(directory, replay.last_sequence + 1, clock())
        return Recovered(state, Position(path, SEGMENT_HEADER_BYTES, replay.last_sequence), gap.lost)
    return Recovered(state, Position(live[-1].path, replay.end_offset, replay.last_sequence), gap.lost)


def _fold(replay: Replay, catalogue: Projection, gap: HistoryGap) -> LiveState:
    state = LiveState()
    known = catalogue.position
    report_at = time.monotonic() + _PROGRESS_S
    for sequence, payload in replay:
        assert replay.segment is not None
        in_snapshot = replay.segment.header.kind is Kind.SNAPSHOT
        if not in_snapshot:
            gap.close(state)
        added, changed = apply_payload(state, payload, replay.segment.path, replay.end_offset)
        published = state.events.take_published()
        if sequence > known:
            if state.webhooks.projected:
                catalogue.put_deliveries(state.webhooks.projected)
            # The frames of a snapshot share one number, which is reached only behind the last of them.
            position = sequence - 1 if in_snapshot else sequence
            catalogue.put(position, added, changed, state.deleted, published)
            catalogue.wait_for_capacity()
        state.deleted = []
        if state.webhooks.projected:
            state.webhooks.take_projected()
        if time.monotonic() > report_at:
            report_at += _PROGRESS_S
            log.info("Replaying the journal: %d frames, %d live tasks so far.", replay.frames, len(state.tasks))
    gap.close(state)
    if replay.last_sequence > known:
        catalogue.put(replay.last_sequence, [], [])
    return state


def apply_payload(state: LiveState, payload: memoryview, path: Path, offset: int) -> tuple[list[Task], list[Task]]:
    """Applies the frame whose payload this is, at ``offset`` of ``path``; gives what :func:`apply_frame` gives.

    :raises JournalDamagedError: when the payload is not what the state lets happen.
    """
    try:
        return apply_frame(state, decode_events(payload))
    except (msgspec.DecodeError, KeyError, IllegalTransitionError) as error:
        raise JournalDamagedError(path, offset, f"its events cannot be applied: {error!r}") from error


def _report(replay: Replay, catalogue: Projection) -> None:
    if catalogue.position > replay.last_sequence:
        raise StoreError(
            f"The catalogue has seen frame {catalogue.position}, but the journal ends with {replay.last_sequence}: the "
            f"journal is older than the catalogue, or part of it is gone. Restore the journal from a backup, or run "
            f"'taskd journal repair' on the data directory to take what is missing from the catalogue."
        )
    if replay.torn_tail is not None:
        torn = replay.torn_tail
        log.warning(
            "%s: cutting off %d bytes after byte %d that were never acknowledged (%s).",
            *(torn.path, torn.size_bytes, torn.offset, torn.why),
        )
