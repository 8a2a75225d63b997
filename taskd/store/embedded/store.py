"""The default store: journal, work queue and catalogue of one data directory, behind ``TaskStore``."""

import asyncio
import functools
import logging
import socket
import sqlite3
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from taskd.model.api_request import ApiRequest
from taskd.model.clock import Clock, system_clock_ms
from taskd.model.delivery import Attempt, Delivery
from taskd.model.dispatcher import Dispatcher, DispatcherDraft
from taskd.model.dispatching import Publication
from taskd.model.errors import ILLEGAL_STATE, RESOURCE_UNKNOWN, ContractError
from taskd.model.event import Event, EventDraft, Subscription, SubscriptionDraft
from taskd.model.function import Function
from taskd.model.idempotency import IdempotencyKey
from taskd.model.logline import LogLine
from taskd.model.objectid import ObjectIdFactory
from taskd.model.operation import Objection as OperationObjection
from taskd.model.operation import Operation, OperationAction, OperationDraft
from taskd.model.operation import no_objection as no_operation_objection
from taskd.model.pause import Pause, require_unpaused
from taskd.model.retention import Retention
from taskd.model.schedule import Schedule, ScheduleDraft
from taskd.model.status import Status
from taskd.model.task import Task, TaskDraft
from taskd.model.webhook import Webhook, WebhookDraft
from taskd.rql.query import Node as RqlNode
from taskd.rql.query import Query
from taskd.store.base import (
    NO_FUNCTIONS,
    Change,
    DispatcherChange,
    Expired,
    FannedOut,
    Fired,
    MemoryUse,
    Node,
    Objection,
    Outcome,
    Page,
    ScheduleChange,
    StoreStatus,
    UniqueResult,
    WebhookChange,
    no_objection,
)
from taskd.store.embedded import events
from taskd.store.embedded.awaited import AwaitedTasks
from taskd.store.embedded.catalogue import api_requests, queries
from taskd.store.embedded.catalogue.catalogue import Catalogue
from taskd.store.embedded.catalogue.listing import prepared
from taskd.store.embedded.commit import CommitLog
from taskd.store.embedded.compactor import Compactor
from taskd.store.embedded.creation import Creation
from taskd.store.embedded.deletions import Deletions
from taskd.store.embedded.deliveries import Deliveries
from taskd.store.embedded.direct_starts import take_place
from taskd.store.embedded.dispatchers import Dispatchers
from taskd.store.embedded.erasure import Erasure
from taskd.store.embedded.errors import StoreError
from taskd.store.embedded.event_service import EventService
from taskd.store.embedded.expiry import Expiry
from taskd.store.embedded.functions import Functions
from taskd.store.embedded.idempotency import KeyedCreation
from taskd.store.embedded.journal.directory import DirectoryLock
from taskd.store.embedded.journal.reserve import release_reserve
from taskd.store.embedded.journal.writer import JournalWriter
from taskd.store.embedded.large_claims import LargeClaims
from taskd.store.embedded.large_data import LargeData
from taskd.store.embedded.large_keys import LargeKeys
from taskd.store.embedded.live_memory import LiveMemory
from taskd.store.embedded.match_files import MatchFiles
from taskd.store.embedded.operation_actions import Action, CancelAction, DeleteAction, EraseAction, ReplayAction
from taskd.store.embedded.operations import Operations
from taskd.store.embedded.pausing import Pausing
from taskd.store.embedded.publishing import Publishing
from taskd.store.embedded.queue.work_queue import WorkQueue
from taskd.store.embedded.recovery.recover import Recovered, recover
from taskd.store.embedded.schedules import Schedules
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.settlement import Settlement
from taskd.store.embedded.stored_data import stored_data, with_data
from taskd.store.embedded.unique_creation import UniqueCreation
from taskd.store.embedded.unique_gate import Queued, UniqueGate
from taskd.store.embedded.webhooks import Webhooks
from taskd.system.process import end_after_store_failure

log = logging.getLogger(__name__)


class EmbeddedStore:
    """``TaskStore`` on a directory of this machine. For one event loop; :meth:`start` comes first."""

    def __init__(
        self,
        settings: StoreSettings,
        clock: Clock = system_clock_ms,
        on_fatal: Callable[[BaseException], None] | None = None,
        *,
        gives_back_space: bool = False,
    ) -> None:
        """``on_fatal`` is told that the store can go on no longer (after a failed sync, say); or the process ends.

        One that ``gives_back_space`` has its history's file get shorter when much of it is removed.
        """
        self._gives_back_space = gives_back_space
        self._settings = settings
        self._clock = clock
        self._on_fatal = on_fatal or end_after_store_failure
        self._awaited = AwaitedTasks()
        self._awaited_due_ms: int | None = None
        """When the next task was due, last time nothing could be claimed: only what is due before that is news."""
        self._callbacks: dict[Change, list[Callable[[], None]]] = {change: [] for change in Change}
        self._on_published: list[Callable[[Publication], None]] = []
        self._lock: DirectoryLock | None = None
        self._lost_history: str | None = None

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
        await self._large_keys.stop()
        self._commits.flush()
        await asyncio.to_thread(self._journal.close)
        await self._catalogue.close()
        lock.release()

    def now_ms(self) -> int:
        """See ``TaskStore``. This machine's clock: there is no other node."""
        return self._clock()

    async def status(self) -> StoreStatus:
        """See ``TaskStore``."""
        now_ms = self._clock()
        node = Node(self._node_id, socket.gethostname(), self._started_ms, now_ms)
        due, indexing = self._queue.due_count(now_ms), self._catalogue.indexing
        memory = MemoryUse(self._memory.used_bytes, self._memory.limit_bytes)
        return StoreStatus(due, self._trouble(), self._lost_history, (node,), indexing, memory)

    def on_change(self, change: Change, callback: Callable[[], None]) -> None:
        """See ``TaskStore``. Nothing is changed by other nodes here."""
        self._callbacks[change].append(callback)

    async def add(self, drafts: Sequence[TaskDraft], key: IdempotencyKey | None = None) -> list[Task]:
        """See ``TaskStore``."""
        self._commits.require_room(self._settings.live_tasks_max)
        self._commits.require_writable()
        if self._catalogue.congested:  # hardly ever, so there is no coroutine for it
            await self._catalogue.wait_for_capacity()
        if key is not None:
            return await self._keyed.add(drafts, key)
        admitted_bytes = self._memory.admit(drafts)
        done = self._commits.submit([self._creation(drafts)])
        self._memory.hold(admitted_bytes, done)
        return await done

    async def add_unique(self, drafts: Sequence[TaskDraft], key: IdempotencyKey | None = None) -> list[UniqueResult]:
        """See ``TaskStore``."""
        self._commits.require_room(self._settings.live_tasks_max)
        await self._wait_for_capacity()
        return await self._unique.add(drafts, key)

    async def add_started(self, draft: TaskDraft) -> Task:
        """See ``TaskStore``."""
        self._commits.require_room(self._settings.live_tasks_max)
        await self._wait_for_capacity()
        require_unpaused(self._pausing.now)
        while draft.function_name in self._functions.changing:
            await self._functions.until_changed()
        self._memory.admit([draft])
        added = self._creation([draft])
        [task] = added.tasks
        usages = self._commits.state.usages
        keys = take_place(usages, task, task.creation_ms) if usages.by_function else ()
        begun = events.Started((task.id,), task.creation_ms, keys)
        undo = functools.partial(usages.give_back, [task])
        started = (await self._commits.submit([added, begun], undo=undo))[-1]
        if stored_data(started) is not None:
            started = with_data(started, draft.data)
            self._commits.state.tasks.put([started])
        return started

    async def claim(self, limit: int, held: Collection[str] = NO_FUNCTIONS) -> list[Task]:
        """See ``TaskStore``."""
        await self._catalogue.wait_for_capacity()
        if self._commits.state.pause is not None:
            self._awaited_due_ms = None
            return []
        now_ms = self._clock()
        self._large_claims.forget_wait()
        if self._functions.changing:
            held = {*held, *self._functions.changing}
        tasks = self._queue.pop_due(now_ms, limit, held)
        if self._queue.has_unread:
            self._large_keys.read(self._queue.take_unread())
        if not tasks:
            self._awaited_due_ms = self._queue.next_due_ms()
            return []
        if self._commits.state.tasks.stored:  # otherwise it costs nothing that there might be such tasks
            self._awaited_due_ms = None  # whatever comes may go before what has to wait for memory
            return await self._large_claims.claim(tasks, now_ms)
        ids = tuple([task.id for task in tasks])
        usages = self._commits.state.usages
        keys = usages.keys_of(tasks) if usages.by_function else ()
        undo = functools.partial(self._unclaim, tasks)
        return await self._commits.submit([events.Started(ids, now_ms, keys)], ids, undo=undo)

    async def settle(self, outcomes: Sequence[Outcome]) -> list[Task | None]:
        """See ``TaskStore``."""
        return await self._settlement.settle(outcomes)

    async def reap(self, limit: int) -> list[Task]:
        """See ``TaskStore``."""
        return await self._settlement.reap(limit)

    async def cancel(self, task_id: str) -> Task:
        """See ``TaskStore``."""
        await self._gate.replaced(task_id)
        task = self._commits.state.tasks.get(task_id)
        if task is None or not self._is_waiting(task):
            raise await self._why_not_cancel(task_id)
        self._commits.require_writable()
        data = await self._large.data_of(task) if stored_data(task) is not None else task.data
        if task.extras is not None and self._commits.state.tasks.get(task_id) is not task:
            return await self.cancel(task_id)  # it may have taken something over meanwhile
        if not self._is_waiting(task):
            raise await self._why_not_cancel(task_id)
        canceled = events.Canceled(task_id, self._clock())
        undo = functools.partial(self._requeue_entries, [task])
        [task] = await self._commits.submit([canceled], (task_id,), undo=undo)
        return with_data(task, data or b"{}") if stored_data(task) is not None else task

    async def get(self, task_id: str) -> Task:
        """See ``TaskStore``."""
        task = self._commits.state.tasks.get(task_id)
        if task is not None and stored_data(task) is not None and (data := await self._large.data_of(task)) is not None:
            return with_data(task, data)
        if task is None or stored_data(task) is not None:
            task = await self._catalogue.read(functools.partial(queries.task_by_id, task_id=task_id))
        if task is None:
            raise _unknown_task(task_id)
        return task

    async def ended(self, task_id: str) -> Task:
        """See ``TaskStore``."""
        if task_id not in self._commits.state.tasks:  # found at once: it cannot end before it is waited for
            return await self.get(task_id)
        task = await self._awaited.end_of(task_id)
        return task if stored_data(task) is None else await self.get(task_id)

    async def find(
        self, query: Query, *, on_behalf_of: str | None = None, apart_from_bytes: int | None = None
    ) -> Page[Task]:
        """See ``TaskStore``."""
        prepare = functools.partial(queries.tasks, query, self._catalogue.value_indexes, apart_from_bytes)
        listing = await prepared(prepare, query)
        if listing.has_lookups:
            await self._catalogue.read(listing.choose)
        return await self._catalogue.read(listing, scans=listing.scans, on_behalf_of=on_behalf_of)

    async def read_data(self, task_id: str, begin: int, size_bytes: int) -> bytes:
        """See ``TaskStore``."""
        part = functools.partial(queries.task_data, task_id=task_id, begin=begin, size_bytes=size_bytes)
        data = await self._catalogue.read(part)
        if data is None:
            raise _unknown_task(task_id)
        return data

    async def delete_tasks(self, ids: Collection[str]) -> int:
        """See ``TaskStore``."""
        return await self._deletions.delete(ids)

    def next_due_ms(self) -> int | None:
        """See ``TaskStore``."""
        is_blocked = self._large_claims.is_blocked or self._commits.state.pause is not None
        return None if is_blocked else self._queue.next_due_ms()

    async def put_function(self, function: Function, expected: Function | None) -> None:
        """See ``TaskStore``."""
        await self._functions.put(function, expected)
        self._tell(Change.DUE)  # it may have been resumed

    async def remove_function(self, name: str) -> None:
        """See ``TaskStore``."""
        await self._functions.remove(name)
        self._tell(Change.DUE)  # it may have been paused

    def function(self, name: str) -> Function | None:
        """See ``TaskStore``."""
        return self._functions.get(name)

    def functions(self) -> list[Function]:
        """See ``TaskStore``."""
        return self._functions.by_name()

    def paused_functions(self) -> Collection[str]:
        """See ``TaskStore``."""
        return self._functions.paused

    async def pause_all(self, pause: Pause) -> Pause:
        """See ``TaskStore``."""
        return await self._pausing.pause(pause)

    async def resume_all(self) -> None:
        """See ``TaskStore``."""
        await self._pausing.resume()
        self._tell(Change.DUE)

    def pause(self) -> Pause | None:
        """See ``TaskStore``."""
        return self._pausing.now

    async def add_schedule(self, draft: ScheduleDraft) -> Schedule:
        """See ``TaskStore``."""
        schedule = await self._schedules.add(draft)
        self._tell(Change.SCHEDULES)
        return schedule

    async def remove_schedule(self, schedule_id: str) -> None:
        """See ``TaskStore``."""
        await self._schedules.remove(schedule_id)

    async def schedule(self, schedule_id: str) -> Schedule:
        """See ``TaskStore``."""
        return self._schedules.get(schedule_id)

    async def change_schedule(self, schedule_id: str, change: ScheduleChange) -> Schedule:
        """See ``TaskStore``."""
        changed = await self._schedules.change(schedule_id, change)
        self._tell(Change.SCHEDULES)
        return changed

    async def find_schedules(self, query: Query) -> Page[Schedule]:
        """See ``TaskStore``."""
        return await self._schedules.find(query)

    async def fire(self, limit: int, objection: Objection = no_objection) -> Fired:
        """See ``TaskStore``."""
        return await self._schedules.fire(limit, objection)

    def next_fire_ms(self) -> int | None:
        """See ``TaskStore``."""
        return self._schedules.next_fire_ms()

    async def publish(self, draft: EventDraft) -> Event:
        """See ``TaskStore``."""
        return await self._events.publish(draft)

    async def publish_owed(self, limit: int) -> int:
        """See ``TaskStore``."""
        return await self._events.publish_owed(limit)

    def on_published(self, callback: Callable[[Publication], None]) -> None:
        """See ``TaskStore``."""
        self._on_published.append(callback)

    async def find_events(self, query: Query, *, on_behalf_of: str | None = None) -> Page[Event]:
        """See ``TaskStore``."""
        return await self._events.find(query, on_behalf_of)

    async def delete_events_before(self, before_ms: int, limit: int) -> int:
        """See ``TaskStore``."""
        return await self._events.delete_before(before_ms, limit)

    async def add_subscription(self, draft: SubscriptionDraft) -> Subscription:
        """See ``TaskStore``."""
        return await self._events.add_subscription(draft)

    async def find_subscriptions(self, query: Query) -> Page[Subscription]:
        """See ``TaskStore``."""
        return await self._events.find_subscriptions(query)

    async def add_dispatcher(self, draft: DispatcherDraft) -> Dispatcher:
        """See ``TaskStore``."""
        return await self._dispatchers.add(draft)

    async def change_dispatcher(self, dispatcher_id: str, change: DispatcherChange) -> Dispatcher:
        """See ``TaskStore``."""
        return await self._dispatchers.change(dispatcher_id, change)

    async def remove_dispatcher(self, dispatcher_id: str) -> None:
        """See ``TaskStore``."""
        await self._dispatchers.remove(dispatcher_id)

    async def find_dispatchers(self, query: Query) -> Page[Dispatcher]:
        """See ``TaskStore``."""
        return await self._dispatchers.find(query)

    async def add_operation(
        self, draft: OperationDraft, where: RqlNode, *, on_behalf_of: str | None = None
    ) -> Operation:
        """See ``TaskStore``."""
        operation = await self._operations.add(draft, where, on_behalf_of)
        self._tell(Change.OPERATIONS)
        return operation

    async def advance_operations(
        self, limit: int, objection: OperationObjection = no_operation_objection
    ) -> list[Operation]:
        """See ``TaskStore``."""
        return await self._operations.advance(limit, objection)

    async def abort_operation(self, operation_id: str) -> Operation:
        """See ``TaskStore``."""
        return await self._operations.abort(operation_id)

    async def operation(self, operation_id: str) -> Operation:
        """See ``TaskStore``."""
        return self._operations.get(operation_id)

    async def find_operations(self, query: Query) -> Page[Operation]:
        """See ``TaskStore``."""
        return await self._operations.find(query)

    def next_operation_ms(self) -> int | None:
        """See ``TaskStore``."""
        return self._operations.next_ms()

    async def add_webhook(self, draft: WebhookDraft) -> Webhook:
        """See ``TaskStore``."""
        return await self._webhooks.add(draft)

    async def remove_webhook(self, webhook_id: str) -> None:
        """See ``TaskStore``."""
        await self._webhooks.remove(webhook_id)

    async def webhook(self, webhook_id: str) -> Webhook:
        """See ``TaskStore``."""
        return self._webhooks.get(webhook_id)

    async def change_webhook(self, webhook_id: str, change: WebhookChange) -> Webhook:
        """See ``TaskStore``."""
        changed = await self._webhooks.change(webhook_id, change)
        self._tell(Change.DELIVERIES)  # it may have been enabled
        return changed

    async def find_webhooks(self, query: Query) -> Page[Webhook]:
        """See ``TaskStore``."""
        return await self._webhooks.find(query)

    async def fan_out(self, limit: int) -> FannedOut:
        """See ``TaskStore``."""
        return await self._deliveries.fan_out(limit)

    def due_webhooks(self) -> list[str]:
        """See ``TaskStore``."""
        return self._deliveries.due_webhooks()

    async def begin_deliveries(self, webhook_id: str, limit: int) -> list[Delivery]:
        """See ``TaskStore``."""
        return self._deliveries.begin(webhook_id, limit)

    async def settle_deliveries(self, attempts: Sequence[Attempt]) -> list[Delivery | None]:
        """See ``TaskStore``."""
        return await self._deliveries.settle(attempts)

    async def deliver(self, webhook_id: str, event_type: str, subject_id: str, content: bytes) -> Delivery:
        """See ``TaskStore``."""
        return await self._deliveries.deliver(webhook_id, event_type, subject_id, content)

    async def redeliver(self, webhook_id: str, delivery_id: str) -> Delivery:
        """See ``TaskStore``."""
        return await self._deliveries.redeliver(webhook_id, delivery_id)

    async def find_deliveries(self, webhook_id: str, query: Query) -> Page[Delivery]:
        """See ``TaskStore``."""
        return await self._deliveries.find(webhook_id, query)

    async def forget_deliveries(self, subject_ids: Sequence[str]) -> None:
        """See ``TaskStore``."""
        await self._deliveries.forget(subject_ids)

    def next_delivery_ms(self) -> int | None:
        """See ``TaskStore``."""
        return self._deliveries.next_ms()

    async def replace_logs(self, task_id: str, lines: Sequence[LogLine]) -> None:
        """See ``TaskStore``."""
        self._catalogue.replace_logs(task_id, lines)

    async def find_logs(self, task_id: str, since_ms: int, offset: int, limit: int) -> list[LogLine]:
        """See ``TaskStore``."""
        work = functools.partial(queries.log_lines, task_id=task_id, since_ms=since_ms, offset=offset, limit=limit)
        return await self._catalogue.read(work)

    async def find_function_logs(
        self,
        function_name: str,
        since_ms: int,
        until_ms: int,
        offset: int,
        limit: int,
        *,
        on_behalf_of: str | None = None,
    ) -> list[LogLine]:
        """See ``TaskStore``."""
        window = (since_ms, until_ms, offset, limit)
        work = functools.partial(queries.function_log_lines, function_name, window)
        return await self._catalogue.read(work, scans=True, on_behalf_of=on_behalf_of)

    async def begin_api_request(self) -> str:
        """See ``TaskStore``."""
        await self._wait_for_capacity()
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

    async def find_api_requests(self, query: Query, *, on_behalf_of: str | None = None) -> Page[ApiRequest]:
        """See ``TaskStore``."""
        listing = await prepared(functools.partial(api_requests.page, query), query)
        return await self._catalogue.read(listing, scans=listing.scans, on_behalf_of=on_behalf_of)

    async def expire(self, retention: Retention) -> Expired:
        """See ``TaskStore``."""
        return await self._expiry.step(retention)

    async def erase_tasks(self, ids: Collection[str]) -> int:
        """See ``TaskStore``."""
        return await self._erasure.erase(ids)

    async def purge(self) -> None:
        """See ``TaskStore``."""
        await self._erasure.purge()

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
            gives_back_space=self._gives_back_space,
            deliveries_kept=self._settings.deliveries_kept,
            indexes=[tuple(field.split(".")) for field in self._settings.indexes],
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
        if self._memory.is_exceeded:
            log.warning("Live tasks take more than [store] live_memory_mib: none are created until some have ended.")

    def _take_over(self, recovered: Recovered) -> None:
        state, journal_path = recovered.state, recovered.position.path.parent
        self._lost_history = recovered.lost_history
        self._commits = CommitLog(state, self._catalogue, self._on_applied, self._on_fatal)
        segment_bytes = self._settings.segment_mib << 20
        self._journal = JournalWriter(recovered.position, self._commits, segment_bytes=segment_bytes, clock=self._clock)
        self._commits.attach(self._journal)
        self._journal.start()
        self._compactor = Compactor(journal_path, self._journal, self._catalogue, self._clock, self._on_fatal)
        self._new_id = ObjectIdFactory(self._clock, state.last_id)
        self._creation = Creation(self._clock, self._new_id, state.last_seq)
        queued = Queued(lambda task_ids: self._queue.forget(len(task_ids)), self._kept_waiting)
        self._gate = UniqueGate(self._commits, self._clock, queued)
        self._schedules = Schedules(
            *(self._commits, self._catalogue, self._clock),
            new_id=self._new_id,
            creation=self._creation,
            wait_for_capacity=self._wait_for_capacity,
            gate=self._gate,
        )
        self._webhooks = Webhooks(self._commits, self._catalogue, self._clock, self._new_id, self._wait_for_capacity)
        self._deliveries = Deliveries(self._commits, self._catalogue, self._webhooks, self._clock, self._new_id)
        self._node_id, self._started_ms = self._new_id(), self._clock()
        self._pausing = Pausing(self._commits)
        self._pausing.report()
        self._functions = Functions(self._commits, self._wait_for_capacity)
        abandoned = (task.id for task in state.tasks.values() if task.status is Status.IN_PROGRESS)
        self._memory = LiveMemory(state.tasks, self._settings.live_memory_bytes, state.webhooks)
        self._large = LargeData(state.tasks, self._catalogue, journal_path)
        self._publishing = Publishing(
            *(self._commits, self._creation, self._memory, self._clock),
            new_id=self._new_id,
            live_tasks_max=self._settings.live_tasks_max,
            callbacks=self._on_published,
        )
        self._publishing.also.append(self._deliveries.of_events)
        self._dispatchers = Dispatchers(
            *(self._commits, self._catalogue, self._clock),
            new_id=self._new_id,
            wait_for_capacity=self._wait_for_capacity,
        )
        self._large_claims = LargeClaims(self._commits, self._large, self._memory, self._give_back)
        self._large_keys = LargeKeys(state.usages, self._large, state.tasks.get, self._push)
        self._settlement = Settlement(
            *(self._commits, self._catalogue, self._creation, self._clock),
            abandoned=abandoned,
            large=self._large,
            publishing=self._publishing,
        )
        self._expiry = Expiry(state, self._catalogue, self._clock)
        self._erasure = Erasure(
            *(Path(self._settings.data), self._commits, self._catalogue),
            deliveries=self._deliveries,
            journal=self._journal,
            compactor=self._compactor,
            new_id=self._new_id,
            on_fatal=self._on_fatal,
        )
        self._deletions = Deletions(self._commits, self._catalogue, self._deliveries.forget_tasks)
        self._keyed = KeyedCreation(self._commits, self._catalogue, self._clock, self._creation, self._memory)
        self._events = EventService(
            *(self._commits, self._catalogue, self._clock, self._publishing, self._keyed),
            new_id=self._new_id,
            wait_for_capacity=self._wait_for_capacity,
        )
        self._unique = UniqueCreation(
            *(self._commits, self._clock, self._gate),
            creation=self._creation,
            memory=self._memory,
            keyed=self._keyed,
            get=self.get,
        )
        self._operations = self._make_operations(state.operations)
        state.usages.freed = []
        self._queue = WorkQueue(self._is_waiting, usages=state.usages)
        waiting = (task for task in state.tasks.values() if task.status is Status.NEW)
        self._queue.load(waiting, self._clock())

    def _make_operations(self, kept: Mapping[str, Operation]) -> Operations:
        files = MatchFiles(Path(self._settings.data) / "operations")
        files.keep_only({operation.id for operation in kept.values() if operation.is_running})
        parts = (self._commits, self._catalogue, self._clock)
        cancel = CancelAction(*parts, gate=self._gate, is_waiting=self._is_waiting, requeue=self._requeue_entries)
        replay = ReplayAction(
            *parts,
            creation=self._creation,
            memory=self._memory,
            gate=self._gate,
            live_tasks_max=self._settings.live_tasks_max,
            wait_for_capacity=self._wait_for_capacity,
        )
        actions: dict[OperationAction, Action] = {
            OperationAction.CANCEL: cancel,
            OperationAction.REPLAY: replay,
            OperationAction.DELETE: DeleteAction(self._commits, self._catalogue, self._deliveries.forget_tasks),
            OperationAction.ERASE: EraseAction(
                self._commits, self._catalogue, cancel=cancel, erase=self._erasure.erase
            ),
        }
        return Operations(
            *parts,
            new_id=self._new_id,
            gate=self._gate,
            files=files,
            actions=actions,
            purge=self._erasure.purge,
            on_fatal=self._on_fatal,
        )

    def _tell(self, change: Change) -> None:
        for callback in self._callbacks[change]:
            callback()

    def _trouble(self) -> str | None:
        if self._journal.full is not None:
            return f"nothing can be written: {self._journal.full.strerror}"
        if self._catalogue.failing is not None:
            return f"history cannot be written: {self._catalogue.failing}"
        return None

    async def _wait_for_capacity(self) -> None:
        """Returns when more may be accepted: history must not fall behind what happens without bound."""
        self._commits.require_writable()
        await self._catalogue.wait_for_capacity()

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
        waiting = self._waiting_now(tasks) if Status.NEW in statuses else []
        if waiting:
            self._push(waiting)
        if self._commits.state.released:
            self._commits.state.released = False
            self._tell(Change.SCHEDULES)
        if Status.CANCELED in statuses:
            self._queue.forget(statuses.count(Status.CANCELED))
        if self._awaited:
            self._awaited.changed(tasks)
        if self._commits.state.webhooks.has_news:
            self._commits.state.webhooks.has_news = False
            self._tell(Change.DELIVERIES)
        if self._large_claims.look_again():
            self._tell(Change.DUE)
        if self._commits.state.usages.freed and self._queue.free_places(self._clock()):
            self._tell(Change.DUE)
        self._compactor.wake()

    def _waiting_now(self, tasks: list[Task]) -> list[Task]:
        """As they wait now: what was added with large data waits without it."""
        live, is_free = self._commits.state.tasks.get, self._commits.is_free
        return [
            now
            for task in tasks
            if (now := live(task.id)) is not None and now.status is Status.NEW and is_free(task.id)
        ]

    def _enqueue(self, tasks: Sequence[Task]) -> None:
        now_ms = self._clock()
        for task in tasks:
            self._queue.push(task, now_ms)

    def _push(self, tasks: Sequence[Task]) -> None:
        self._enqueue(tasks)
        if self._awaited_due_ms is None or min(task.due_ms for task in tasks) < self._awaited_due_ms:
            self._tell(Change.DUE)

    def _kept_waiting(self, task_ids: Sequence[str]) -> None:
        """Puts back tasks that could not take something over."""
        if task_ids:
            self._queue.sweep()
            self._large_keys.forget(task_ids)
            self._push([self._commits.state.tasks[task_id] for task_id in task_ids])

    def _requeue_entries(self, tasks: Sequence[Task]) -> None:
        """Puts back tasks whose cancelling failed; old entries may be gone or not, so that is made sure first."""
        self._queue.sweep()
        self._large_keys.forget([task.id for task in tasks])
        self._push(tasks)

    def _unclaim(self, tasks: Sequence[Task]) -> None:
        """Puts back tasks that could not be started."""
        self._commits.state.usages.give_back(tasks)
        self._push(tasks)

    def _give_back(self, tasks: Sequence[Task]) -> None:
        """As :meth:`_unclaim`, for tasks that nobody need look at sooner than without them."""
        self._commits.state.usages.give_back(tasks)
        self._enqueue(tasks)


def _unknown_task(task_id: str) -> ContractError:
    return ContractError(RESOURCE_UNKNOWN, f"There is no task with the id {task_id}.")
