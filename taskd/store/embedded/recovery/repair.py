"""Making a journal start again that is damaged, and telling what was given up.

What can be read is kept. What the damage swallowed is taken from the catalogue, as far as that has it: it holds every
task, but for the last moments. A task that may have been started within the damage and of which nothing else is known
is taken for started, so that the next start settles it as one whose outcome cannot be known: nothing runs twice.
"""

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import msgspec
from msgspec import Struct

from taskd.model import operation as operations
from taskd.model.status import FINAL, Status
from taskd.model.task import IllegalTransitionError, Task
from taskd.store.embedded import events
from taskd.store.embedded.catalogue.rows import COLUMNS, task_of
from taskd.store.embedded.catalogue.schema import open_reader
from taskd.store.embedded.events import Event, decode_events, encode_events
from taskd.store.embedded.journal.directory import DirectoryLock, remove_temporary_files
from taskd.store.embedded.journal.format import Kind
from taskd.store.embedded.journal.salvage import Gap, Rewriting, Salvage, Salvaged
from taskd.store.embedded.recovery.inspect import verify
from taskd.store.embedded.state import LiveState

_NOTHING = encode_events([])
_LOST_TRACK = "The journal was repaired after damage, so how far this had gone is not known."


class RepairReport(Struct):
    """What a repair found and did."""

    gaps: list[Gap]
    """What could not be read, in the order of the journal; empty if nothing had to be done."""
    kept_aside: Path | None = None
    """Where the damaged segments are now."""
    frames_kept: int = 0
    frames_lost: int = 0
    events_given_up: int = 0
    """Events in readable frames that speak of what the damage swallowed."""
    tasks_from_catalogue: int = 0
    """Tasks whose state was taken from the catalogue, because the damage had swallowed it."""
    tasks_unknown: int = 0
    """Tasks that may have been started within the damage; the next start settles them as zombies."""
    live_tasks: int = 0


def repair(directory: Path, now_ms: int) -> RepairReport:
    """Repairs the journal of the data directory ``directory``, which no daemon may be using.

    A sound journal, or one with only a torn tail, is left as it is.

    :raises StoreError: if there is no journal, or the directory is in use.
    """
    found = verify(directory)
    catalogue = _Catalogue(directory / "catalogue.db")
    if found.damage is None and catalogue.position <= found.last_sequence:
        return RepairReport([], frames_kept=found.frames, live_tasks=found.live_tasks)
    lock = DirectoryLock(directory)
    try:
        return _Repair(directory, catalogue, now_ms).run()
    finally:
        lock.release()


class _Repair:
    def __init__(self, directory: Path, catalogue: "_Catalogue", now_ms: int) -> None:
        self._journal = directory / "journal"
        self._catalogue = catalogue
        self._aside = directory / f"journal.damaged-{now_ms}"
        self._now_ms = now_ms
        self._salvage = Salvage(self._journal)
        self._rewriting = Rewriting(self._journal, _NOTHING)
        self._report = RepairReport(self._salvage.gaps)
        self._state = LiveState()
        self._touched: dict[str, int] = {}
        """For each task, the last frame that speaks of it."""
        self._unfit: list[tuple[int, Event]] = []
        """Events about tasks that the damage swallowed, one task each, by their frame."""
        self._unfit_ids: set[str] = set()

    def run(self) -> RepairReport:
        remove_temporary_files(self._journal)
        for segment in self._salvage:
            self._keep(segment)
        lost_behind = max(0, self._catalogue.position - self._rewriting.last_sequence)
        self._report.frames_lost = lost_behind + sum(gap.before - gap.first_sequence for gap in self._salvage.gaps)
        self._correct()
        self._rewriting.publish(self._aside)
        self._report.kept_aside = self._aside
        self._report.live_tasks = len(self._state.tasks)
        return self._report

    def _keep(self, segment: Salvaged) -> None:
        self._rewriting.begin(segment.header)
        for sequence, payload in segment.frames:
            self._report.frames_kept += 1
            try:
                batch = decode_events(payload)
            except msgspec.DecodeError:
                self._report.events_given_up += 1
                continue
            fitting = [part for event in batch for part in self._fit(event, sequence)]
            if fitting or segment.header.kind is Kind.LOG:
                self._rewriting.add(sequence, encode_events(fitting))

    def _fit(self, event: Event, sequence: int) -> list[Event]:
        """The parts of ``event`` that the state lets happen; the others are kept for later."""
        fitting: list[Event] = []
        for part in _parts(event):
            self._touched.update((task_id, sequence) for task_id in _tasks_of(part))
            done = self._apply(part)
            fitting += done
            if not done:
                self._report.events_given_up += 1
                self._unfit.append((sequence, part))
                self._unfit_ids.update(_tasks_of(part))
        return fitting

    def _apply(self, event: Event) -> list[Event]:
        """Applies ``event``, after a start that the damage swallowed if need be; gives what was applied."""
        try:
            self._state.apply(event)
        except KeyError:
            return []
        except IllegalTransitionError as error:
            if error.task.status is not Status.NEW:
                return []
            started = events.Started((error.task.id,), self._now_ms)
            self._state.apply(started)
            return [started, *self._apply(event)]
        return [event]

    def _correct(self) -> None:
        """Adds a last frame with what the catalogue knows better, and with what nobody can know."""
        self._rewriting.fill(self._catalogue.position + 1)
        gap_before = max((gap.before for gap in self._salvage.gaps), default=0)
        batch: list[Event] = []
        newest = (self._state.last_seq, self._state.last_id)
        not_listed = {task_id for task_id in self._state.tasks if self._is_old(task_id)}
        for row in self._catalogue.tasks():
            not_listed.discard(row.id)
            newest = max(newest, (row.seq, row.id))
            if self._is_old(row.id) or row.id not in self._state.tasks:
                corrections = self._as_in_catalogue(row)
                self._report.tasks_from_catalogue += bool(corrections)
                batch += corrections
        batch += [part for task_id in not_listed for part in self._deleted(self._state.tasks[task_id])]
        for sequence, event in self._unfit:
            if sequence > self._catalogue.position:
                batch += self._apply(event)
        if self._catalogue.position < gap_before - 1:
            batch += self._presumed_started(gap_before)
        batch += self._ended_operations()
        batch += self._apply(events.Counters(*newest, self._state.ended, self._state.events.count))
        self._rewriting.add(self._rewriting.last_sequence + 1, encode_events(batch))

    def _is_old(self, task_id: str) -> bool:
        """Whether the catalogue has seen all that frames say of this task."""
        return self._touched.get(task_id, 0) <= self._catalogue.position

    def _deleted(self, task: Task) -> list[Event]:
        """The end of a task that the catalogue has seen and lists no more: none is deleted that has not ended."""
        return [*self._apply(events.Completed((task.id,), self._now_ms)), events.Deleted((task.seq,))]

    def _as_in_catalogue(self, row: Task) -> list[Event]:
        task = self._state.tasks.get(row.id)
        if task is None:
            ended = row.status in FINAL or (row.id in self._touched and row.id not in self._unfit_ids)
            return [] if ended else self._apply(events.Added((row,)))
        if task.status is row.status:
            return []
        return [part for event in _way_to(task, row) for part in self._apply(event)]

    def _ended_operations(self) -> list[Event]:
        """What was lost may say that they have gone further: doing it again could make a task twice."""
        running = [operation for operation in self._state.operations.values() if operation.is_running]
        ended = [operations.fail(operation, self._now_ms, _LOST_TRACK) for operation in running]
        return [part for operation in ended for part in self._apply(events.OperationPut(operation))]

    def _presumed_started(self, before: int) -> list[Event]:
        ids = [
            task.id
            for task in self._state.tasks.values()
            if task.status is Status.NEW and self._touched.get(task.id, 0) < before
        ]
        self._report.tasks_unknown = len(ids)
        return self._apply(events.Started(tuple(ids), self._now_ms)) if ids else []


def _parts(event: Event) -> Iterable[Event]:
    """``event`` as events of one task each, where one may fit and another not."""
    if isinstance(event, events.Started | events.Completed):
        return [type(event)((task_id,), event.at_ms) for task_id in event.task_ids]
    return [event]


def _tasks_of(event: Event) -> tuple[str, ...]:
    if isinstance(event, events.Added):
        return tuple(task.id for task in event.tasks)
    if isinstance(event, events.Started | events.Completed):
        return event.task_ids
    if isinstance(event, events.Failed | events.Retried | events.Requeued | events.Canceled):
        return (event.task_id,)
    return ()


def _way_to(task: Task, row: Task) -> list[Event]:
    """The event that brings ``task`` to the status that the catalogue has; a start before it goes without saying."""
    at_ms = row.status_changed_ms
    if row.status is Status.NEW:
        return [events.Requeued(task.id, at_ms, 0)]
    if row.status is Status.IN_PROGRESS:
        return [events.Started((task.id,), at_ms)]
    if row.status is Status.COMPLETE:
        return [events.Completed((task.id,), at_ms)]
    if row.status is Status.CANCELED:
        return [events.Canceled(task.id, at_ms)]
    assert row.error is not None, "tasks that failed have an error"
    if row.status is Status.RETRIED and row.retried_by_task_id is not None:
        return [events.Retried(task.id, at_ms, row.error, row.retried_by_task_id)]
    return [events.Failed(task.id, at_ms, row.error)]


class _Catalogue:
    """What the catalogue has, if there is one that can be read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.position = 0
        if path.exists():
            with closing(open_reader(path)) as connection:
                self.position = connection.execute("SELECT value FROM meta WHERE name = 'position'").fetchone()[0]

    def tasks(self) -> Iterable[Task]:
        """Every task, oldest first."""
        if not self.position:
            return
        with closing(open_reader(self._path)) as connection:
            for row in connection.execute(f"SELECT {', '.join(COLUMNS)} FROM tasks ORDER BY seq"):  # noqa: S608
                yield task_of(row)
