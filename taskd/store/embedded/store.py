"""The default store: journal, work queue and catalogue of one data directory, behind ``TaskStore``."""

import asyncio
import functools
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from taskd.model.api_request import ApiRequest
from taskd.model.clock import Clock, system_clock_ms
from taskd.model.errors import ILLEGAL_STATE, RESOURCE_UNKNOWN, ContractError
from taskd.model.function import Function
from taskd.model.idempotency import IdempotencyKey
from taskd.model.logline import LogLine
from taskd.model.objectid import ObjectIdFactory
from taskd.model.schedule import Schedule, ScheduleDraft
from taskd.model.status import Status
from taskd.model.task import IllegalTransitionError, Task, TaskDraft
from taskd.rql.query import Query
from taskd.store import base
from taskd.store.base import Occurrence, Outcome, Page, StoreUnavailableError
from taskd.store.embedded import events
from taskd.store.embedded.catalogue import api_requests, queries
from taskd.store.embedded.catalogue.catalogue import Catalogue
from taskd.store.embedded.catalogue.sql.fields import API_REQUESTS, TASKS
from taskd.store.embedded.catalogue.sql.planning import scans
from taskd.store.embedded.commit import CommitLog
from taskd.store.embedded.compactor import Compactor
from taskd.store.embedded.creation import Creation
from taskd.store.embedded.errors import StoreError
from taskd.store.embedded.events import Event
from taskd.store.embedded.idempotency import KeyedCreation
from taskd.store.embedded.journal.directory import DirectoryLock
from taskd.store.embedded.journal.reserve import release_reserve
from taskd.store.embedded.journal.writer import JournalWriter
from taskd.store.embedded.queue.work_queue import WorkQueue
from taskd.store.embedded.recovery.recover import Recovered, recover
from taskd.store.embedded.schedules import Schedules
from taskd.store.embedded.settings import StoreSettings

log = logging.getLogger(__name__)

EXIT_STORE_FAILED = 74
"""``EX_IOERR``: the status the process ends with when the store can go on no longer."""
_SETTLE_RETRY_S = 1.0


class EmbeddedStore:
    """``TaskStore`` on a directory of this machine. For one event loop; :meth:`start` comes first."""

    def __init__(
        self,
        settings: StoreSettings,
        clock: Clock = system_clock_ms,
        on_fatal: Callable[[BaseException], None] | None = None,
    ) -> None:
        """``on_fatal`` hears that the store can go on no longer (a failed sync, say); the default ends the process."""
        self._settings = settings
        self._clock = clock
        self._on_fatal = on_fatal or _end_process
        self._queue = WorkQueue(self._is_waiting)
        self._told_due_ms: int | None = None
        """What ``next_due_ms`` last said: whoever waits is told only of what is due before that."""
        self._due_callbacks: list[Callable[[], None]] = []
        self._schedule_callbacks: list[Callable[[], None]] = []
        self._lock: DirectoryLock | None = None
        self.lost_history: str | None = None
        """For people: which part of the history of tasks that have ended was found lost at the start."""

    async def start(self) -> None:
        """Opens the directory and recovers what an earlier process left.

        :raises StoreError: when it is in use, damaged, or of a newer version; the message says what to do.
        """
        directory = Path(self._settings.data)
        try:
            self._lock = DirectoryLock(directory)
            await self._open(directory)
        except BaseException as error:
            if self._lock is not None:
                self._lock.release()
                self._lock = None
            if isinstance(error, OSError | sqlite3.Error):
                advice = "Look at its free space and its permissions."
                raise StoreError(f"{directory} cannot be used: {error}. {advice}") from error
            raise

    async def stop(self) -> None:
        """Makes everything durable and closes the store. Idempotent."""
        if self._lock is None:
            return
        lock, self._lock = self._lock, None
        await self._compactor.stop()
        self._commits.flush()
        await asyncio.to_thread(self._journal.close)
        await self._catalogue.close()
        lock.release()

    async def add(self, drafts: Sequence[TaskDraft], key: IdempotencyKey | None = None) -> list[Task]:
        """See ``TaskStore``."""
        self._commits.require_room(self._settings.live_tasks_max)
        self._commits.require_writable()
        if self._catalogue.congested:  # hardly ever, so there is no coroutine for it
            await self._catalogue.room()
        if key is not None:
            return await self._keyed.add(drafts, key)
        return await self._commits.submit([self._creation(drafts)])

    async def add_started(self, draft: TaskDraft) -> Task:
        """See ``TaskStore``."""
        self._commits.require_room(self._settings.live_tasks_max)
        await self._room()
        added = self._creation([draft])
        [task] = added.tasks
        return (await self._commits.submit([added, events.Started((task.id,), task.creation_ms)]))[-1]

    async def claim(self, limit: int) -> list[Task]:
        """See ``TaskStore``. Not to be cancelled: the tasks would be in progress with nobody to run them."""
        await self._catalogue.room()
        now_ms = self._clock()
        tasks = self._queue.pop_due(now_ms, limit)
        if not tasks:
            return []
        ids = tuple(task.id for task in tasks)
        undo = functools.partial(self._push, tasks)
        return await self._commits.submit([events.Started(ids, now_ms)], ids, undo=undo)

    async def settle(self, outcomes: Sequence[Outcome]) -> list[Task]:
        """See ``TaskStore``. Waits as long as it takes for the disk: an outcome is never given up."""
        ids = tuple(outcome.task_id for outcome in outcomes)
        self._require_running(outcomes)
        while True:
            try:
                changed = await self._commits.submit(self._settlement(outcomes), ids, essential=True)
            except StoreUnavailableError:
                await asyncio.sleep(_SETTLE_RETRY_S)
            else:
                by_id = {task.id: task for task in changed}
                return [by_id[task_id] for task_id in ids]

    async def cancel(self, task_id: str) -> Task:
        """See ``TaskStore``."""
        task = self._commits.state.tasks.get(task_id)
        if task is None or not self._is_waiting(task):
            raise await self._why_not_cancel(task_id)
        self._commits.require_writable()
        canceled = events.Canceled(task_id, self._clock())
        undo = functools.partial(self._requeue_entry, task)
        return (await self._commits.submit([canceled], (task_id,), undo=undo))[0]

    async def get(self, task_id: str) -> Task:
        """See ``TaskStore``."""
        task = self._commits.state.tasks.get(task_id)
        task = task or await self._catalogue.read(functools.partial(queries.task_by_id, task_id=task_id))
        if task is None:
            raise ContractError(RESOURCE_UNKNOWN, f"There is no task with the id {task_id}.")
        return task

    async def find(self, query: Query) -> Page[Task]:
        """See ``TaskStore``."""
        return await self._catalogue.read(queries.tasks(query), scans=scans(query, TASKS))

    def running(self) -> list[Task]:
        """See ``TaskStore``."""
        return [task for task in self._commits.state.tasks.values() if task.status is Status.IN_PROGRESS]

    def due_count(self) -> int:
        """See ``TaskStore``."""
        return self._queue.due_count(self._clock())

    def next_due_ms(self) -> int | None:
        """See ``TaskStore``."""
        self._told_due_ms = self._queue.next_due_ms()
        return self._told_due_ms

    def on_due_change(self, callback: Callable[[], None]) -> None:
        """See ``TaskStore``."""
        self._due_callbacks.append(callback)

    async def put_function(self, function: Function) -> None:
        """See ``TaskStore``."""
        await self._room()
        await self._commits.submit([events.FunctionPut(function)])

    async def remove_function(self, name: str) -> None:
        """See ``TaskStore``."""
        reservation = f"function {name}"
        if name not in self._commits.state.functions or not self._commits.is_free(reservation):
            raise ContractError(RESOURCE_UNKNOWN, f"There is no function named {name!r}.")
        self._commits.require_writable()
        await self._commits.submit([events.FunctionRemoved(name)], (reservation,))

    def function(self, name: str) -> Function | None:
        """See ``TaskStore``."""
        return self._commits.state.functions.get(name)

    def functions(self) -> list[Function]:
        """See ``TaskStore``."""
        return sorted(self._commits.state.functions.values(), key=lambda function: function.name)

    async def add_schedule(self, draft: ScheduleDraft) -> Schedule:
        """See ``TaskStore``."""
        schedule = await self._schedules.add(draft)
        for callback in self._schedule_callbacks:
            callback()
        return schedule

    async def remove_schedule(self, schedule_id: str) -> None:
        """See ``TaskStore``."""
        await self._schedules.remove(schedule_id)

    async def find_schedules(self, query: Query) -> Page[Schedule]:
        """See ``TaskStore``."""
        return await self._schedules.find(query)

    async def fire(self, limit: int) -> list[Occurrence]:
        """See ``TaskStore``."""
        return await self._schedules.fire(limit)

    def next_fire_ms(self) -> int | None:
        """See ``TaskStore``."""
        return self._schedules.next_fire_ms()

    def on_schedule_added(self, callback: Callable[[], None]) -> None:
        """See ``TaskStore``."""
        self._schedule_callbacks.append(callback)

    async def append_logs(self, logs: Sequence[tuple[str, Sequence[LogLine]]]) -> None:
        """See ``TaskStore``."""
        self._catalogue.put_logs(logs)

    async def replace_logs(self, task_id: str, lines: Sequence[LogLine]) -> None:
        """See ``TaskStore``."""
        self._catalogue.replace_logs(task_id, lines)

    async def find_logs(self, task_id: str, since_ms: int, offset: int, limit: int) -> list[LogLine]:
        """See ``TaskStore``."""
        work = functools.partial(queries.log_lines, task_id=task_id, since_ms=since_ms, offset=offset, limit=limit)
        return await self._catalogue.read(work)

    async def find_function_logs(
        self, function_name: str, since_ms: int, until_ms: int, offset: int, limit: int
    ) -> list[LogLine]:
        """See ``TaskStore``."""
        window = (since_ms, until_ms, offset, limit)
        work = functools.partial(queries.function_log_lines, function_name, window)
        return await self._catalogue.read(work, scans=True)

    async def begin_api_request(self) -> str:
        """See ``TaskStore``."""
        await self._room()
        return self._new_id()

    async def end_api_request(self, request: ApiRequest, lines: Sequence[LogLine]) -> None:
        """See ``TaskStore``."""
        self._catalogue.put_api_request(request, lines)

    async def api_request(self, request_id: str) -> ApiRequest:
        """See ``TaskStore``."""
        found = await self._catalogue.read(functools.partial(api_requests.by_id, request_id=request_id))
        if found is None:
            raise ContractError(RESOURCE_UNKNOWN, f"There is no API request with the id {request_id}.")
        return found

    async def find_api_requests(self, query: Query) -> Page[ApiRequest]:
        """See ``TaskStore``."""
        return await self._catalogue.read(api_requests.page(query), scans=scans(query, API_REQUESTS))

    def trouble(self) -> str | None:
        """What is wrong with the store now, for people; ``None`` when all is well."""
        if self._journal.full is not None:
            return f"the journal cannot be written: {self._journal.full.strerror}"
        if self._catalogue.failing is not None:
            return f"the catalogue cannot be written: {self._catalogue.failing}"
        return None

    async def compact(self) -> None:
        """Shortens the journal now, as far as it is sealed."""
        await self._compactor.compact()

    async def _open(self, directory: Path) -> None:
        release_reserve(directory / "journal")
        time_limit_s = self._settings.listing_time_limit_s
        self._catalogue = Catalogue(
            directory / "catalogue.db",
            self._clock(),
            time_limit_s,
            self._on_fatal,
            api_requests_kept=self._settings.api_requests_kept,
        )
        began_s = time.monotonic()
        try:
            recovered = await asyncio.to_thread(recover, directory / "journal", self._catalogue.writer, self._clock)
            self._take_over(recovered)
        except BaseException:
            await self._catalogue.close()
            raise
        took_s = time.monotonic() - began_s
        log.info("Recovered %d live tasks in %.2f s from %s.", len(recovered.state.tasks), took_s, directory)

    def _take_over(self, recovered: Recovered) -> None:
        state = recovered.state
        self.lost_history = recovered.lost_history
        self._commits = CommitLog(state, self._catalogue, self._on_applied, self._on_fatal)
        segment_bytes = self._settings.segment_mib << 20
        self._journal = JournalWriter(recovered.position, self._commits, segment_bytes=segment_bytes, clock=self._clock)
        self._commits.attach(self._journal)
        self._journal.start()
        journal_path = recovered.position.path.parent
        self._compactor = Compactor(journal_path, self._journal, self._catalogue, self._clock, self._on_fatal)
        self._new_id = ObjectIdFactory(self._clock, state.last_id)
        self._creation = Creation(self._clock, self._new_id, state.last_seq)
        self._schedules = Schedules(
            *(self._commits, self._catalogue, self._clock),
            new_id=self._new_id,
            creation=self._creation,
            room=self._room,
        )
        self._keyed = KeyedCreation(self._commits, self._catalogue, self._clock, self._creation)
        waiting = (task for task in state.tasks.values() if task.status is Status.NEW)
        self._queue.load(waiting, self._clock())

    def _settlement(self, outcomes: Sequence[Outcome]) -> list[Event]:
        now_ms = self._clock()
        completed = tuple(outcome.task_id for outcome in outcomes if isinstance(outcome, base.Completed))
        batch: list[Event] = [events.Completed(completed, now_ms)] if completed else []
        for outcome in outcomes:
            if not isinstance(outcome, base.Completed):
                batch += self._bad_end(outcome, now_ms)
        return batch

    def _bad_end(self, outcome: base.Failed | base.Retried | base.Requeued, now_ms: int) -> list[Event]:
        if isinstance(outcome, base.Failed):
            return [events.Failed(outcome.task_id, now_ms, outcome.error)]
        if isinstance(outcome, base.Requeued):
            return [events.Requeued(outcome.task_id, now_ms, outcome.not_before_ms)]
        added = self._creation([outcome.successor])
        return [events.Retried(outcome.task_id, now_ms, outcome.error, added.tasks[0].id), added]

    async def _room(self) -> None:
        """Returns when more may be accepted: history must not fall behind what happens without bound."""
        self._commits.require_writable()
        await self._catalogue.room()

    def _require_running(self, outcomes: Sequence[Outcome]) -> None:
        seen: set[str] = set()
        for outcome in outcomes:
            task = self._commits.state.tasks.get(outcome.task_id)
            if task is None:
                raise ContractError(RESOURCE_UNKNOWN, f"There is no task {outcome.task_id} in progress.")
            if task.status is not Status.IN_PROGRESS or task.id in seen or not self._commits.is_free(task.id):
                raise IllegalTransitionError(task, _TARGET[type(outcome)])
            seen.add(task.id)

    async def _why_not_cancel(self, task_id: str) -> ContractError:
        status = (await self.get(task_id)).status
        if status is Status.NEW:  # its start, or another call's cancelling, is on its way into the journal
            status = Status.IN_PROGRESS
        return ContractError(ILLEGAL_STATE, f"Task {task_id} is {status}; only a new task can be canceled.")

    def _is_waiting(self, task: Task) -> bool:
        is_current = self._commits.state.tasks.get(task.id) is task
        return is_current and task.status is Status.NEW and self._commits.is_free(task.id)

    def _on_applied(self, tasks: list[Task]) -> None:
        statuses = [task.status for task in tasks]
        waiting = [task for task in tasks if self._is_waiting(task)] if Status.NEW in statuses else []
        if waiting:
            self._push(waiting)
        if Status.CANCELED in statuses:
            self._queue.forget(statuses.count(Status.CANCELED))
        self._compactor.nudge()

    def _push(self, tasks: Sequence[Task]) -> None:
        now_ms = self._clock()
        for task in tasks:
            self._queue.push(task, now_ms)
        if self._told_due_ms is None or min(task.due_ms for task in tasks) < self._told_due_ms:
            for callback in self._due_callbacks:
                callback()

    def _requeue_entry(self, task: Task) -> None:
        """Puts back a task whose cancelling failed; its old entry may be gone or not, so that is made sure first."""
        self._queue.sweep()
        self._push([task])


_TARGET: dict[type, Status] = {
    base.Completed: Status.COMPLETE,
    base.Failed: Status.FAILED,
    base.Retried: Status.RETRIED,
    base.Requeued: Status.NEW,
}


def _end_process(error: BaseException) -> None:
    log.critical("The store can go on no longer, so taskd ends now; a restart recovers. Reason: %r", error)
    logging.shutdown()
    os._exit(EXIT_STORE_FAILED)
