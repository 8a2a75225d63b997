"""Writing the catalogue: one thread that folds what changed into batches, each of them one transaction."""

import logging
import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from threading import Condition, Event, Thread

from taskd.model.api_request import ApiRequest
from taskd.model.event import Event as PublishedEvent
from taskd.model.limits import DELIVERIES_KEPT
from taskd.model.logline import LogLine
from taskd.model.task import Task
from taskd.rql.query import Path
from taskd.store.embedded.catalogue import (
    api_requests,
    deletion,
    deliveries,
    event_records,
    free_space,
    queries,
)
from taskd.store.embedded.catalogue.deletion import Removal
from taskd.store.embedded.catalogue.free_space import FreeSpace
from taskd.store.embedded.catalogue.schema import is_damage
from taskd.store.embedded.catalogue.statements import (
    DELETE_LOGS,
    INSERT_LOGS,
    Row,
    Statement,
    parts,
    replay_links,
    updates,
    upserts,
)
from taskd.store.embedded.catalogue.value_indexes import ValueIndexes
from taskd.store.embedded.stored_data import with_data
from taskd.store.embedded.webhook_state import Projected
from taskd.system.os_limits import attempt

log = logging.getLogger(__name__)

LINGER_S = 0.05
"""How long changes gather before they are written, unless a reader waits: most tasks start and end within it."""
RETRY_S = 1.0
BACKLOG_MAX = 100_000
"""Rows that may wait. Past it, whoever makes more work is held up: memory must not pay for a slow disk."""
BACKLOG_CHARS_MAX = 64 << 20
"""Of data and messages in these rows, for the same reason."""
_REPORT_ROWS = 4096
"""How many rows of a batch are written before whoever waits for a shorter backlog looks again."""

_SET_POSITION = "UPDATE meta SET value = ? WHERE name = 'position'"
_NO_POSITION = -1
"""What the position never is, for a moment that nobody sees."""


class _Batch:
    """Changes of some frames, folded: for each task the newest state alone."""

    def __init__(self) -> None:
        self.position = 0
        self.ticket = 0
        self.durable = False
        """Whether this and all before it must be safe against a power cut once it is written."""
        self.added: dict[int, Task] = {}
        self.changed: dict[int, Task] = {}
        self.renewed: list[int] = []
        """The numbers of added tasks whose data may not be what they were once added with."""
        self.logs: list[tuple[str, int, str]] = []
        self.logs_replaced: list[str] = []
        """Whose lines of earlier batches go before :attr:`logs` come."""
        self.api_requests: list[ApiRequest] = []
        self.published: list[PublishedEvent] = []
        self.events_forgotten: list[tuple[int, int]] = []
        """Before when, and how many."""
        self.rewrites = False
        """Whether the whole file is written anew when all else is written."""
        self.removal = Removal()
        """What goes when all else is written."""
        self.deliveries = Projected()
        self.chars = 0
        """Of data and messages; what came twice counts twice."""

    def __len__(self) -> int:
        rows = len(self.added) + len(self.changed) + len(self.logs) + len(self.api_requests)
        return rows + len(self.removal) + len(self.published) + len(self.deliveries.deliveries)

    def fold(self, added: Sequence[Task], changed: Sequence[Task]) -> None:
        """Takes in one frame's tasks: new ones, and ones that may have come earlier.

        Of those the data may be elsewhere. It is not written again, unless this batch has it.
        """
        for task in added:
            self.added[task.seq] = task
            if task.extras is not None:  # it may have come earlier, and is written as a whole now
                self.changed.pop(task.seq, None)
                self.renewed.append(task.seq)
            self.chars += len(task.data)
        for task in changed:
            is_whole = type(task.data) is bytes
            if (earlier := self.added.get(task.seq)) is not None:
                self.added[task.seq] = task if is_whole else with_data(task, earlier.data)
            else:
                self.changed[task.seq] = task
            if is_whole:
                self.chars += len(task.data)

    def note_logs(self, task_id: str, lines: Sequence[LogLine]) -> None:
        """Takes in log lines."""
        for line in lines:
            self.logs.append((task_id, line.timestamp_ms, _storable(line.message)))
            self.chars += len(line.message)


def _storable(message: str) -> str:
    """What SQLite's functions make of a text with a NUL in it is not defined."""
    return message.replace("\0", "\ufffd")


class CatalogueWriter:
    """Takes changes in the journal's order; any thread may call :meth:`put` while no other does."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        on_progress: Callable[[int], None],
        on_fatal: Callable[[BaseException], None],
        api_requests_kept: int,
        indexes: Iterable[Path] = (),
    ) -> None:
        """``connection`` is the writer's own from now on. No more than the newest ``api_requests_kept`` are kept.

        Tags, and the values at the paths ``indexes``, are indexed.

        ``on_progress`` is called from the writer's thread with the newest ticket whose change can be read, also
        when that has not changed but ``backlog`` has shrunk or ``failing`` was set;
        ``on_fatal`` when it stops for a reason that trying again cannot mend.
        """
        self._connection = connection
        self._on_progress = on_progress
        self._on_fatal = on_fatal
        self._api_requests_kept = api_requests_kept
        self.deliveries_kept = DELIVERIES_KEPT
        """How many deliveries are remembered at least; of those that have ended the oldest give way."""
        self.value_indexes = ValueIndexes(connection, indexes)
        self.free_space = FreeSpace(connection)
        self._batch = _Batch()
        self._changed = Condition()
        self._hurry = Event()
        self._closing = False
        self._being_written = 0
        self._chars_being_written = 0
        self._added_being_written: dict[int, Task] = {}
        self._done_ticket = 0
        self.ticket = 0
        """Numbers the changes that were handed over; a reader of all of them waits for this one."""
        self.position: int = self._connection.execute("SELECT value FROM meta WHERE name = 'position'").fetchone()[0]
        """Everything up to this frame can be read."""
        self.durable_position = 0
        """Everything up to this frame would be there after a power cut; what an earlier process wrote may not be."""
        self.rewrite_failure: Exception | None = None
        """Why the file could not be written anew when that was asked for last; ``None`` if it could."""
        self.failing: sqlite3.Error | None = None
        """Why nothing can be written now; it is tried again until it works."""
        self._thread = Thread(target=self._run, name="taskd-catalogue", daemon=True)

    def start(self) -> None:
        """Begins to write."""
        self._thread.start()

    @property
    def backlog(self) -> int:
        """Rows that are not written yet."""
        return self._being_written + len(self._batch)

    @property
    def congested(self) -> bool:
        """Whether so much waits to be written that no more work should be begun."""
        return self.backlog > BACKLOG_MAX or self._chars_being_written + self._batch.chars > BACKLOG_CHARS_MAX

    def pending_tasks(self) -> list[Task]:
        """The tasks that have not ended, as far as was read or written. For recovery, before anything was put."""
        return queries.pending_tasks(self._connection)

    def unwritten_data(self, seqs: Iterable[int]) -> dict[int, bytes]:
        """The data of those tasks that are not written yet. What is not here can be read from now on."""
        with self._changed:
            found: dict[int, bytes] = {}
            for seq in seqs:
                task = self._batch.added.get(seq) or self._added_being_written.get(seq)
                if task is not None:
                    found[seq] = task.data
            return found

    def put(
        self,
        position: int,
        added: Sequence[Task],
        changed: Sequence[Task],
        deleted: Sequence[int] = (),
        published: Sequence[PublishedEvent] = (),
    ) -> None:
        """Takes in the frame at ``position``; ``deleted`` are the numbers of ended tasks that are gone with it."""
        with self._changed:
            self._batch.fold(added, changed)
            self._batch.removal.tasks += deleted
            if published:
                self._batch.published += published
                self._batch.chars += sum([len(event.content or b"") for event in published])
            self._batch.position = position
            self._stamp()

    def forget_events(self, before_ms: int, limit: int) -> None:
        """Lets go of the oldest ``limit`` of the events that are older than that."""
        with self._changed:
            self._batch.events_forgotten.append((before_ms, limit))
            self._stamp()

    def remove(self, removal: Removal) -> None:
        """Has that be gone. The journal does not know: what a lost catalogue is built anew from may bring it back."""
        with self._changed:
            self._batch.removal.add(removal)
            self._stamp()

    def put_api_request(self, request: ApiRequest, lines: Sequence[LogLine]) -> None:
        """Takes in an API request with its log lines."""
        with self._changed:
            self._batch.api_requests.append(request)
            self.put_logs([(request.id, lines)])

    def put_deliveries(self, projected: Projected) -> None:
        """Takes in what has changed of deliveries."""
        with self._changed:
            self._batch.deliveries.add(projected)
            self._batch.chars += sum(len(each.content) for each in projected.deliveries.values())
            self._stamp()

    def put_logs(self, lines: Sequence[tuple[str, Sequence[LogLine]]]) -> None:
        """Takes in log lines, by the id of the task or API request."""
        with self._changed:
            for task_id, of_task in lines:
                self._batch.note_logs(task_id, of_task)
            self._stamp()

    def replace_logs(self, task_id: str, lines: Sequence[LogLine]) -> None:
        """Takes in log lines in place of all that were put for this id before."""
        with self._changed:
            self._batch.logs = [row for row in self._batch.logs if row[0] != task_id]
            self._batch.logs_replaced.append(task_id)
            self.put_logs([(task_id, lines)])

    def flush_soon(self) -> None:
        """Says that somebody waits for what was put."""
        self._hurry.set()

    def rewrite(self) -> None:
        """Asks that the file be written anew by the time this change's ticket is called, without what was removed."""
        with self._changed:
            self._batch.rewrites = True
            self._stamp()

    def make_durable(self) -> None:
        """Asks that what was put be safe against a power cut by the time this change's ticket is called."""
        with self._changed:
            self._batch.durable = True
            self._stamp()

    def wait_for_capacity(self) -> None:
        """Blocks the calling thread while too much waits. For recovery; the event loop looks at ``congested``."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._batch) < BACKLOG_MAX and self._batch.chars < BACKLOG_CHARS_MAX)

    def close(self) -> None:
        """Writes what is queued and closes the file. Idempotent. Gives up on what cannot be written: the
        journal still has it."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._hurry.set()
        if self._thread.is_alive():
            self._thread.join()
        self._connection.close()

    def _stamp(self) -> None:
        self.ticket += 1
        self._batch.ticket = self.ticket
        self._changed.notify_all()

    def _run(self) -> None:
        try:
            while self._write_next():
                pass
            self._write_recent_values()
        except BaseException as error:
            self._on_fatal(error)

    def _write_recent_values(self) -> None:
        try:
            self.value_indexes.write_recent()
        except sqlite3.Error as error:
            if is_damage(error):
                raise
            log.info("What is indexed last could not be written (%s); it is indexed again at the next start.", error)

    def _write_next(self) -> bool:
        """Writes what has gathered, and holds on to nothing of it; ``False`` when the writer is to end."""
        batch = self._next_batch()
        return batch is not None and self._write_until_done(batch)

    def _next_batch(self) -> _Batch | None:
        """What has gathered, after waiting for something; ``None`` when the writer is to end."""
        self._tidy_some()
        with self._changed:
            self._changed.wait_for(self._is_wanted)
            if not self._has_work():
                return None
        self._hurry.wait(LINGER_S)
        self._hurry.clear()
        with self._changed:
            batch, self._batch = self._batch, _Batch()
            self._being_written = len(batch)
            self._chars_being_written = batch.chars
            self._added_being_written = batch.added
            self._changed.notify_all()
        return batch

    def _tidy_some(self) -> None:
        """Indexes what was there earlier and gives space back while nothing else is to be done; one step if it is.

        Where tasks come and go all the time nothing of it would be done else.
        """
        is_idle = True
        while is_idle:
            is_idle = not self._is_wanted()
            try:
                if not (self.value_indexes.step() or self.free_space.step()):
                    return
                self.failing = None
                attempt("yield the processor", os.sched_yield)
            except sqlite3.Error as error:
                if is_damage(error):
                    raise
                self._note_failure(error)
                with self._changed:
                    self._changed.wait_for(self._is_wanted, RETRY_S)

    def _is_wanted(self) -> bool:
        return self._closing or self._has_work()

    def _has_work(self) -> bool:
        return self._batch.ticket > 0

    def _write_until_done(self, batch: _Batch) -> bool:
        """Writes the batch, however often it takes; ``False`` if the writer was closed before it worked."""
        while True:
            try:
                self._write(batch)
            except sqlite3.Error as error:
                if is_damage(error):
                    raise
                self._note_failure(error)
                with self._changed:
                    if self._changed.wait_for(lambda: self._closing, RETRY_S):
                        return False
            else:
                self.failing = None
                return True

    def _write(self, batch: _Batch) -> None:
        self._being_written = len(batch)
        position = max(batch.position, self.position)
        # FULL makes this commit sync the write-ahead log, and with it every commit before.
        self._connection.execute(f"PRAGMA synchronous = {'FULL' if batch.durable else 'NORMAL'}")
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._write_rows(batch)
            if batch.durable:  # a commit that changes nothing would sync nothing, whatever came before it
                self._connection.execute(_SET_POSITION, (_NO_POSITION,))
            self._connection.execute(_SET_POSITION, (position,))
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        self.value_indexes.keep_noted()
        self.position = position
        if batch.durable:
            self.durable_position = position
        if batch.rewrites:
            self._rewrite()
        self._done_ticket = batch.ticket
        self._being_written = 0
        self._chars_being_written = 0
        self._added_being_written = {}
        self._on_progress(batch.ticket)

    def _rewrite(self) -> None:
        self.rewrite_failure = None
        try:
            free_space.write_anew(self._connection)
        except sqlite3.Error as error:
            if is_damage(error):
                raise
            self.rewrite_failure = error

    def _write_rows(self, batch: _Batch) -> None:
        if batch.renewed:
            self.value_indexes.forget(list(batch.renewed))
        added = list(batch.added.values())
        for statement, rows in chain(upserts(added), updates(batch.changed.values()), replay_links(added)):
            self._write_all(statement, rows)
        self.value_indexes.note(added)
        self._write_records(batch)
        if batch.removal:
            deletion.remove(self._connection, batch.removal, self.value_indexes)
            self.free_space.look()
        if batch.logs_replaced:
            deletion.drop_orphans(self._connection, batch.logs_replaced)

    def _write_records(self, batch: _Batch) -> None:
        """What is no task."""
        self._write_all(DELETE_LOGS, [(task_id,) for task_id in batch.logs_replaced])
        self._write_all(INSERT_LOGS, batch.logs)
        if batch.published:
            self._write_all(event_records.INSERT, [event_records.row(event) for event in batch.published])
        for before_ms, limit in batch.events_forgotten:
            event_records.forget_before(self._connection, before_ms, limit)
        if batch.api_requests:
            self._write_all(api_requests.INSERT, [api_requests.row(request) for request in batch.api_requests])
            api_requests.forget_oldest(self._connection, self._api_requests_kept)
        if batch.deliveries:
            self._write_all(deliveries.UPSERT, [deliveries.row(each) for each in batch.deliveries.deliveries.values()])
            deliveries.forget(self._connection, batch.deliveries, self.deliveries_kept)

    def _write_all(self, statement: Statement, rows: Sequence[Row]) -> None:
        written = 0
        for part in parts(rows):
            self._connection.execute(*statement.bind(part))
            written += len(part)
            # or the journal's thread may wait here for its turn, and everybody for the journal
            attempt("yield the processor", os.sched_yield)
            if written >= _REPORT_ROWS:
                self._being_written -= written
                written = 0
                self._on_progress(self._done_ticket)

    def _note_failure(self, error: sqlite3.Error) -> None:
        if self.failing is None:
            log.error(
                "The catalogue cannot be written (%s); listings wait, and it is tried again every second.",
                error,
            )
        self.failing = error
        self._on_progress(self._done_ticket)
