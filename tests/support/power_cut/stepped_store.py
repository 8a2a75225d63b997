"""The store's files without its threads: processes on a journal that end by a kill, each step called by the test.

What the event loop and the writer's thread do in turns is done here by one caller: decide, commit a group, apply,
hand to the catalogue, now and then compact. The catalogue is a stub that remembers how far it got.
"""

import random
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from support.clocks import FakeClock
from support.power_cut.recorded_directory import RecordedDirectory

from taskd.model import task as transitions
from taskd.model.function import Function
from taskd.model.status import Status
from taskd.model.task import ErrorType, Replacement, Task, TaskDraft, TaskError
from taskd.model.task_extras import TaskExtras, UniqueKey, WhileKind
from taskd.store.embedded import events
from taskd.store.embedded.events import Event, decode_events, encode_events
from taskd.store.embedded.journal.compaction import replace_with_snapshot
from taskd.store.embedded.journal.directory import DirectoryLock, segments
from taskd.store.embedded.journal.format import Kind
from taskd.store.embedded.journal.writer import Entry, JournalWriter
from taskd.store.embedded.recovery.recover import Recovered, recover
from taskd.store.embedded.snapshot import snapshot_payloads
from taskd.store.embedded.state import LiveState, apply_frame
from taskd.store.embedded.webhook_state import Projected

ERROR = TaskError(ErrorType.RUNTIME, "E", "m")
Rows = dict[str, Task]


class CatalogueStub:
    """A catalogue in memory: the newest state of every task it was handed, and how far that reaches."""

    def __init__(self, position: int = 0, rows: Rows | None = None, recorded: RecordedDirectory | None = None) -> None:
        self.position = position
        self.rows = dict(rows or {})
        self._recorded = recorded

    def put(
        self,
        position: int,
        added: Sequence[Task],
        changed: Sequence[Task],
        deleted: Sequence[int] = (),
        published: Sequence[Any] = (),
    ) -> None:
        self.rows.update((task.id, task) for task in [*added, *changed])
        if deleted:
            self.rows = {task_id: task for task_id, task in self.rows.items() if task.seq not in deleted}
        self.position = position
        if self._recorded is not None:
            self._recorded.mark("projected", position)

    def put_deliveries(self, projected: Projected) -> None:
        """Keeps nothing of them."""

    def wait_for_capacity(self) -> None:
        """There always is."""

    def pending_tasks(self) -> list[Task]:
        return [task for task in self.rows.values() if task.status in (Status.NEW, Status.IN_PROGRESS)]


class GroupListener:
    """A listener for a writer whose groups are committed by hand."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.committed_to = 0

    def committed(self, group: Sequence[Entry]) -> None:
        self.committed_to = group[-1].sequence

    def refused(self, group: Sequence[Entry], error: OSError) -> None:
        self.error = error

    def fatal(self, error: BaseException) -> None:
        self.error = error


class SteppedStore:
    """The store of a process, from recovery to whatever ends it."""

    def __init__(self, data: Path, catalogue: CatalogueStub, rng: random.Random, segment_bytes: int) -> None:
        self.rng = rng
        self.clock = FakeClock()
        self.catalogue = catalogue
        self._lock: DirectoryLock | None = None
        self.writer: JournalWriter[Entry] | None = None
        self.listener = GroupListener()
        self._data = data
        self._journal = data / "journal"
        self._segment_bytes = segment_bytes

    def recover(self) -> Recovered:
        """Comes back, and begins to write."""
        self._lock = DirectoryLock(self._data)
        recovered = recover(self._journal, self.catalogue, self.clock)
        self.state = recovered.state
        self.sequence = recovered.position.sequence
        self.writer = JournalWriter(
            recovered.position, self.listener, segment_bytes=self._segment_bytes, clock=self.clock
        )
        self.writer.start()
        return recovered

    def next_group(self) -> list[bytes]:
        """Frames that fit the state one after the other, as decisions would have made them."""
        scratch = copy_of_state(self.state)
        return [self._frame(scratch) for _ in range(self.rng.choice([1, 1, 2, 5]))]

    def commit(self, payloads: list[bytes]) -> None:
        """Makes a group durable, then true."""
        assert self.writer is not None
        self.listener.error = None
        self.writer._commit([Entry(payload=payload, essential=False) for payload in payloads])
        if self.listener.error is not None:
            raise self.listener.error
        for payload in payloads:
            self.sequence += 1
            added, changed = apply_frame(self.state, decode_events(payload))
            self.catalogue.put(self.sequence, added, changed, self.state.take_deleted())

    def seal(self) -> None:
        """Has the segment end with the next group, as one does whose content is to go."""
        assert self.writer is not None
        self.writer.seal()

    def compact(self) -> None:
        """What the compactor does; the catalogue counts as durable up to where it was handed things."""
        assert self.writer is not None
        last = self.writer.sealed_below
        sealed = [segment for segment in segments(self._journal)[0] if segment.header.first_sequence <= last]
        if sealed and sealed[-1].header.kind is Kind.LOG:
            replace_with_snapshot(sealed, last, snapshot_payloads(sealed), 0)

    def end(self) -> None:
        """What the kernel does for a process that is gone: closes its files."""
        if self.writer is not None:
            self.writer.close()
        if self._lock is not None:
            self._lock.release()

    def _frame(self, scratch: LiveState) -> bytes:
        waiting = [task.id for task in scratch.tasks.values() if task.status is Status.NEW]
        running = [task.id for task in scratch.tasks.values() if task.status is Status.IN_PROGRESS]
        choices: list[Event] = [self._added(scratch)]
        if waiting:
            choices += [events.Started(tuple(waiting[:2]), 5), events.Canceled(waiting[-1], 6)]
            choices += [self._replaced(scratch.tasks[waiting[-1]])]
        if running:
            first = running[0]
            choices += [events.Completed((first,), 7), events.Failed(first, 8, ERROR), events.Requeued(first, 9, 99)]
        if running and self.rng.random() < 0.3:
            added = self._added(scratch)
            batch: list[Event] = [events.Retried(running[0], 9, ERROR, added.tasks[0].id), added]
        else:
            batch = [self.rng.choice(choices)]
        if self.rng.random() < 0.1:
            batch.append(events.FunctionPut(Function(self.rng.choice("fgh"), "i.h", "python3.11", 1, "v" * 64)))
        scratch.apply_all(batch)
        return encode_events(batch)

    def _added(self, scratch: LiveState) -> events.Added:
        seq = scratch.last_seq + 1
        data = b'{"a":"%s"}' % (b"x" * self.rng.choice([0, 10, 300, 1500]))
        task_id = f"{seq:08x}{self.rng.getrandbits(64):016x}"
        lasts = self.rng.choice([None, None, WhileKind.PENDING, WhileKind.ACTIVE, 1])
        extras = None if lasts is None else TaskExtras(unique=UniqueKey(self.rng.choice("klm"), lasts))
        return events.Added((transitions.create(TaskDraft("f", data, 0, extras=extras), task_id, seq, 0),))

    def _replaced(self, task: Task) -> Event:
        """Of a task that can have something taken over; another is cancelled."""
        if task.extras is None:
            return events.Canceled(task.id, 6)
        data = b'{"b":"%s"}' % (b"y" * self.rng.choice([0, 10, 300, 1500]))
        return events.Replaced(task.id, task.seq, Replacement(data, self.rng.choice([0, 9]), 1, None, None))


def copy_of_state(state: LiveState) -> LiveState:
    """A state that may be changed without changing the first."""
    copy = LiveState()
    copy.tasks.put(state.tasks.values())
    copy.functions, copy.schedules, copy.active = dict(state.functions), dict(state.schedules), dict(state.active)
    for task in state.tasks.values():
        copy.unique.added(task)
    copy.unique.keep(state.unique.kept.values())
    copy.pause = state.pause
    copy.used_keys, copy.key_shares = state.used_keys.copy(), deepcopy(state.key_shares)
    copy.events = deepcopy(state.events)
    copy.last_seq, copy.last_id, copy.ended = state.last_seq, state.last_id, state.ended
    return copy


def contents(state: LiveState) -> dict[str, Any]:
    """What two states must have in common to be equal."""
    tasks = {task.id: task for task in state.tasks.values()}
    unique = state.unique
    return vars(copy_of_state(state)) | {
        "tasks": tasks,
        "key_shares": dict(state.key_shares.all()),
        "unique": (dict(unique.holders), dict(unique.kept), dict(unique.shares.all())),
        "events": vars(state.events),
        "schedule_times": state.schedule_times.next_ms(),
        "usages": {
            name: (each.rules, each.places, each.arrivals_ns) for name, each in state.usages.by_function.items()
        },
        "webhooks": (dict(state.webhooks.webhooks), dict(state.webhooks.waiting), dict(state.webhooks.owed)),
    }


class FrameHistory:
    """What was decided, frame by frame, and what the state and the rows were after each."""

    def __init__(self) -> None:
        self._state = LiveState()
        self._rows: Rows = {}
        self.states = [contents(self._state)]
        self.rows: list[Rows] = [{}]
        self.payloads: list[bytes] = []

    def extend(self, payloads: list[bytes]) -> None:
        """More frames were decided."""
        for payload in payloads:
            added, changed = apply_frame(self._state, decode_events(payload))
            self._rows.update((task.id, task) for task in [*added, *changed])
            self.payloads.append(payload)
            self.states.append(contents(copy_of_state(self._state)))
            self.rows.append(dict(self._rows))

    def until(self, sequence: int) -> "FrameHistory":
        """The history that goes on from frame ``sequence``, as though the later ones had not been decided."""
        kept = FrameHistory()
        kept.extend(self.payloads[:sequence])
        return kept
