"""A store in memory that any number of nodes share: deliberately unlike the embedded one, to hold the seam to its word.

Nodes have clocks of their own and a view of the functions that lags; what is due, and who is dead, goes by the shared
clock. A node that has called no verb for as long as a lease lasts may be taken for dead by any other.
"""

import asyncio
import bisect
import functools
import itertools
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Sequence
from typing import Any, ParamSpec, TypeVar

import msgspec
from msgspec import Struct
from support.store.memory_events import MemoryEvents, SharedEvents
from support.store.memory_webhooks import MemoryWebhooks, WebhookRecords
from support.store.naive_filter import TIMES, naive_matches, sort_value
from support.store.start_limits import StartLimits

from taskd.model import errors, firing, limits, recurrence
from taskd.model import operation as operations
from taskd.model import schedule as schedules
from taskd.model import task as transitions
from taskd.model.api_request import ApiRequest
from taskd.model.clock import Clock
from taskd.model.dispatcher import Dispatcher, DispatcherDraft
from taskd.model.dispatching import Publication, event_view
from taskd.model.errors import ContractError
from taskd.model.event import Event, EventDraft, Subscription, SubscriptionDraft
from taskd.model.event_wire import dispatcher_view, subscription_view
from taskd.model.function import Function
from taskd.model.idempotency import IdempotencyKey
from taskd.model.logline import LogLine
from taskd.model.objectid import ObjectIdFactory
from taskd.model.operation import Objection as OperationObjection
from taskd.model.operation import Operation, OperationAction, OperationDraft
from taskd.model.operation import no_objection as no_operation_objection
from taskd.model.operation_view import operation_view
from taskd.model.pause import Pause, require_unpaused
from taskd.model.retention import STATUS_OF_KIND, Retention
from taskd.model.retry import successor_of, unknown_outcome
from taskd.model.schedule import Schedule, ScheduleDraft
from taskd.model.shares import has_room
from taskd.model.status import FINAL, Status
from taskd.model.system_events import task_failed
from taskd.model.task import Task, TaskDraft
from taskd.model.task_extras import OnConflict, TaskExtras
from taskd.model.uniqueness import Slot, UniqueConflictError, ends_ms, keeps_out, owner_of, slot_of, unique_key
from taskd.model.wire import api_request_view, schedule_view, task_view
from taskd.rql.coerce import epoch_ms
from taskd.rql.query import Compare, Group, Member, Query
from taskd.rql.query import Node as RqlNode
from taskd.store.base import (
    NO_FUNCTIONS,
    Change,
    Completed,
    DispatcherChange,
    Expired,
    Failed,
    Fired,
    FunctionChangedError,
    Node,
    Objection,
    Occurrence,
    Outcome,
    Page,
    Requeued,
    Retried,
    ScheduleChange,
    StoreStatus,
    StoreUnavailableError,
    UniqueResult,
    no_objection,
)

P = ParamSpec("P")
T = TypeVar("T")

LEASE_MS = 6_000


def _whole(verb: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Has the verb go on to its end when its caller is cancelled."""

    @functools.wraps(verb)
    async def shielded(*args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.shield(asyncio.create_task(verb(*args, **kwargs)))

    return shielded


class UsedKey(Struct, frozen=True):
    """Tasks were created under a key."""

    fingerprint: bytes
    at_ms: int
    task_ids: tuple[str, ...]
    owner: str
    conflicts: Collection[int] = ()


class SharedRecords:
    """What the nodes share."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.tasks: dict[str, Task] = {}
        self.owners: dict[str, str] = {}
        """The node that has a task in progress, by the task's id."""
        self.functions: dict[str, Function] = {}
        self.pause: Pause | None = None
        self.limits = StartLimits(self.functions.get)
        self.schedules: dict[str, Schedule] = {}
        self.operations: dict[str, Operation] = {}
        self.matches: dict[str, list[str]] = {}
        """The ids of the tasks of running operations, in the order of their turns."""
        self.keys: dict[bytes, UsedKey] = {}
        self.logs: dict[str, list[LogLine]] = {}
        self.api_requests: dict[str, ApiRequest] = {}
        self.events = SharedEvents()
        self.nodes: dict[str, MemoryStore] = {}
        self.webhooks = WebhookRecords()
        self._seq = 0
        self._an_end: asyncio.Event | None = None

    async def wait_for_end(self) -> None:
        """Returns when the next task has ended."""
        if self._an_end is None:
            self._an_end = asyncio.Event()
        await self._an_end.wait()

    def tell_of_end(self) -> None:
        """Wakes who waits for one."""
        if self._an_end is not None:
            self._an_end.set()
            self._an_end = None

    def next_seq(self) -> int:
        """A number greater than every one before."""
        self._seq += 1
        return self._seq

    def tell(self, change: Change, nodes: Iterable["MemoryStore"]) -> None:
        """Has the nodes hear of the change, a little later."""
        for node in list(nodes):
            asyncio.get_running_loop().call_soon(node.told, change)


class MemoryStore(MemoryWebhooks):
    """A node's door to the shared records; implements ``TaskStore``."""

    def __init__(self, shared: SharedRecords, host: str = "a") -> None:
        self._shared = shared
        self._new_id = ObjectIdFactory(
            shared.clock, max([*shared.tasks, *shared.schedules, *shared.operations], default=None)
        )
        self.kept, self.new_id = shared.webhooks, self._new_id
        self._node = Node(self._new_id(), host, shared.clock(), shared.clock())
        self._view: dict[str, Function] = {}
        self._events = MemoryEvents(
            shared.events,
            now_ms=self.now_ms,
            new_id=self._new_id,
            create=self._create,
            function=shared.functions.get,
            tell_webhooks=self.tell_of,
        )
        self._is_dead = False
        self._callbacks: dict[Change, list[Callable[[], None]]] = {change: [] for change in Change}

    async def start(self) -> None:
        self._shared.nodes[self._node.id] = self
        self._view = dict(self._shared.functions)

    async def stop(self) -> None:
        self._shared.nodes.pop(self._node.id, None)

    def die(self) -> None:
        """Is cut off from the others, in the middle of whatever it does: no verb of it has an effect any more."""
        self._shared.nodes.pop(self._node.id, None)
        self._is_dead = True

    def now_ms(self) -> int:
        return self._shared.clock()

    async def status(self) -> StoreStatus:
        await self._turn()
        others = (store._node for store in self._shared.nodes.values() if store is not self)
        return StoreStatus(len(self._due()), None, None, (self._node, *others))

    def on_change(self, change: Change, callback: Callable[[], None]) -> None:
        self._callbacks[change].append(callback)

    def told(self, change: Change) -> None:
        """Hears of a change: only now does this node's view of the functions catch up."""
        if change is Change.FUNCTIONS:
            self._view = dict(self._shared.functions)
        for callback in self._callbacks[change]:
            callback()

    async def add(self, drafts: Sequence[TaskDraft], key: IdempotencyKey | None = None) -> list[Task]:
        await self._turn()
        if key is not None and (used := self._used(key)) is not None:
            return [self._task(task_id) for task_id in used.task_ids]
        tasks = self._create(drafts)
        if key is not None:
            ids = tuple(task.id for task in tasks)
            self._shared.keys[key.digest] = UsedKey(key.fingerprint, self.now_ms(), ids, key.owner)
        return tasks

    async def add_unique(self, drafts: Sequence[TaskDraft], key: IdempotencyKey | None = None) -> list[UniqueResult]:
        await self._turn()
        if key is not None and (used := self._used(key)) is not None:
            tasks = [self._task(task_id) for task_id in used.task_ids]
            return [UniqueResult(task, place in used.conflicts) for place, task in enumerate(tasks)]
        before = dict(self._shared.tasks)
        try:
            results = [self._add_unique(place, draft) for place, draft in enumerate(drafts)]
        except ContractError:
            self._shared.tasks = before
            raise
        if key is not None:
            ids = tuple(result.task.id for result in results)
            conflicts = {place for place, result in enumerate(results) if result.conflict}
            self._shared.keys[key.digest] = UsedKey(key.fingerprint, self.now_ms(), ids, key.owner, conflicts)
        return [UniqueResult(self._task(result.task.id), result.conflict) for result in results]

    def _add_unique(self, place: int, draft: TaskDraft) -> UniqueResult:
        slot = slot_of(draft)
        holder = None if slot is None else self._holder(slot)
        if slot is None or holder is None:
            self._require_unique_room(draft)
            return UniqueResult(self._create([draft])[0])
        if draft.on_conflict is OnConflict.REJECT:
            raise UniqueConflictError(slot, place, holder.id)
        if draft.on_conflict is OnConflict.REPLACE and holder.status is Status.NEW:
            holder = self._put(transitions.take_over(holder, transitions.replacement(draft)))
            self._shared.tell(Change.DUE, self._shared.nodes.values())
        return UniqueResult(holder, conflict=True)

    def _holder(self, slot: Slot) -> Task | None:
        now_ms = self.now_ms()
        for task in sorted(self._shared.tasks.values(), key=lambda task: -task.seq):
            unique = unique_key(task)
            if unique is not None and slot_of(task) == slot and keeps_out(task, unique, now_ms):
                return task
        return None

    def _require_unique_room(self, draft: TaskDraft) -> None:
        def lasts(record: Task | TaskDraft, creation_ms: int) -> bool:
            unique = unique_key(record)
            until_ms = None if unique is None else ends_ms(creation_ms, unique)
            return until_ms is not None and self.now_ms() < until_ms

        kept = [task for task in self._shared.tasks.values() if lasts(task, task.creation_ms)]
        held = sum(owner_of(task) == owner_of(draft) for task in kept)
        if lasts(draft, self.now_ms()) and not has_room(held, len(kept), limits.UNIQUE_KEYS_MAX):
            raise ContractError(errors.TOO_MANY_REQUESTS, f"{len(kept)} unique keys are used already.")

    async def add_started(self, draft: TaskDraft) -> Task:
        await self._turn()
        require_unpaused(self._shared.pause)
        task = self._new(draft)
        if not self._shared.limits.may_start(task, self.now_ms()):
            raise ContractError(errors.CONCURRENT_EXECUTIONS, "The start rules have no room; try again soon.")
        return self._begin(self._put(task))

    async def claim(self, limit: int, held: Collection[str] = NO_FUNCTIONS) -> list[Task]:
        await self._turn()
        if self._shared.pause is not None:
            return []
        if not any(function.start_rules for function in self._shared.functions.values()):
            best_first = sorted(self._due(held), key=lambda task: (-task.priority, task.start_ms, task.seq))
            return [self._begin(task) for task in best_first[:limit]]
        due, begun = self._due(held), list[Task]()
        while len(begun) < limit and (best := self._shared.limits.best(due, self.now_ms())) is not None:
            due.remove(best)
            begun.append(self._begin(best))
        return begun

    async def settle(self, outcomes: Sequence[Outcome]) -> list[Task | None]:
        if self._is_dead:
            return [None] * len(outcomes)
        await self._turn()
        return [self._settle(outcome) for outcome in outcomes]

    async def reap(self, limit: int) -> list[Task]:
        if self._is_dead:
            return []
        await self._turn()
        dead = [task_id for task_id, owner in self._shared.owners.items() if not self._lives(owner)]
        return [self._end_zombie(self._task(task_id)) for task_id in dead[:limit]]

    async def cancel(self, task_id: str) -> Task:
        await self._turn()
        task = self._task(task_id)
        if task.status is not Status.NEW:
            message = f"Task {task_id} is {task.status}; only a new task can be canceled."
            raise ContractError(errors.ILLEGAL_STATE, message)
        return self._put(transitions.cancel(task, self.now_ms()))

    def next_due_ms(self) -> int | None:
        if self._shared.pause is not None:
            return None
        now_ms, limits = self.now_ms(), self._shared.limits
        waiting = [task for task in self._shared.tasks.values() if task.status is Status.NEW]
        opens = [(task, limits.opens_ms(task, now_ms)) for task in waiting]
        zombies = [run.until_ms for run in limits.running(now_ms) if run.is_zombie] if waiting else []
        return min([max(task.due_ms, at_ms) for task, at_ms in opens if at_ms is not None] + zombies, default=None)

    async def get(self, task_id: str) -> Task:
        await self._turn()
        return self._task(task_id)

    async def ended(self, task_id: str) -> Task:
        task = await self.get(task_id)
        while task.status not in FINAL:
            await self._shared.wait_for_end()
            task = await self.get(task_id)
        return task

    async def find(
        self, query: Query, *, on_behalf_of: str | None = None, apart_from_bytes: int | None = None
    ) -> Page[Task]:
        await self._turn()
        page = _page(list(self._shared.tasks.values()), task_view, query)
        return page if apart_from_bytes is None else _with_apart(page, apart_from_bytes)

    async def read_data(self, task_id: str, begin: int, size_bytes: int) -> bytes:
        await self._turn()
        return self._task(task_id).data[begin : begin + size_bytes]

    async def delete_tasks(self, ids: Collection[str]) -> int:
        await self._turn()
        ended = self._delete(ids)
        self.forget_subjects(ended)
        return len(ended)

    def _delete(self, ids: Collection[str]) -> set[str]:
        kept = self._shared.tasks
        ended = {task_id for task_id in ids if task_id in kept and kept[task_id].status in FINAL}
        for task_id in ended:
            del kept[task_id]
            self._shared.logs.pop(task_id, None)
        return ended

    def function(self, name: str) -> Function | None:
        return self._view.get(name)

    def functions(self) -> list[Function]:
        return sorted(self._view.values(), key=lambda function: function.name)

    def paused_functions(self) -> Collection[str]:
        return [function.name for function in self._view.values() if function.paused]

    async def put_function(self, function: Function, expected: Function | None) -> None:
        await self._turn()
        kept = self._shared.functions.get(function.name)
        self._view = dict(self._shared.functions)
        if kept != expected:
            raise FunctionChangedError(function.name)
        self._shared.limits.change(function.name, None if kept is None else kept.start_rules, function.start_rules)
        self._shared.functions[function.name] = function
        self._functions_changed()

    async def remove_function(self, name: str) -> None:
        await self._turn()
        if self._shared.functions.pop(name, None) is None:
            raise ContractError(errors.RESOURCE_UNKNOWN, f"There is no function named {name!r}.")
        self._shared.limits.change(name, None, None)
        self._functions_changed()

    async def pause_all(self, pause: Pause) -> Pause:
        await self._turn()
        if self._shared.pause is not None:
            pause = msgspec.structs.replace(pause, since_ms=self._shared.pause.since_ms)
        self._shared.pause = pause
        return pause

    async def resume_all(self) -> None:
        await self._turn()
        self._shared.pause = None
        self._shared.tell(Change.DUE, self._shared.nodes.values())

    def pause(self) -> Pause | None:
        return self._shared.pause

    @_whole
    async def add_schedule(self, draft: ScheduleDraft) -> Schedule:
        await self._turn()
        schedules.require_room(draft, self._shared.schedules.values())
        schedule = recurrence.create(draft, self._new_id(), self.now_ms())
        self._shared.schedules[schedule.id] = schedule
        self._shared.tell(Change.SCHEDULES, self._shared.nodes.values())
        return schedule

    @_whole
    async def remove_schedule(self, schedule_id: str) -> None:
        await self._turn()
        self._schedule(schedule_id)
        del self._shared.schedules[schedule_id]

    async def schedule(self, schedule_id: str) -> Schedule:
        await self._turn()
        return self._schedule(schedule_id)

    @_whole
    async def change_schedule(self, schedule_id: str, change: ScheduleChange) -> Schedule:
        await self._turn()
        changed = self._shared.schedules[schedule_id] = change(self._schedule(schedule_id))
        self._shared.tell(Change.SCHEDULES, self._shared.nodes.values())
        return changed

    async def find_schedules(self, query: Query) -> Page[Schedule]:
        await self._turn()
        return _page(list(self._shared.schedules.values()), schedule_view, query)

    async def fire(self, limit: int, objection: Objection = no_objection) -> Fired:
        await self._turn()
        fired = Fired([], [])
        now_ms = self.now_ms()
        active = self._active()
        kept = self._shared.schedules.values()
        due = [schedule for schedule in kept if schedule.is_due(now_ms, is_active=schedule.id in active)]
        for schedule in sorted(due, key=lambda each: each.buffered_ms or each.next_ms)[:limit]:
            reason = objection(schedule)
            if reason is None:
                step = self._step(schedule, is_active=schedule.id in active)
            else:
                step = firing.Firing(schedules.pause(schedule, now_ms, reason), None, 0)
            self._shared.schedules[schedule.id] = step.schedule
            if step.schedule.paused:
                fired.paused.append(step.schedule)
            if step.task is not None:
                [task] = self._create([step.task])
                fired.occurrences.append(Occurrence(task, step.skipped))
            else:
                fired = msgspec.structs.replace(fired, held_back=fired.held_back + step.skipped)
        return fired

    def _step(self, schedule: Schedule, *, is_active: bool) -> firing.Firing:
        unique = schedule.unique
        holder = None if unique is None else self._holder((schedule.function_name, unique.key))
        replaces = unique is not None and unique.on_conflict is OnConflict.REPLACE
        if holder is not None and replaces and holder.status is Status.NEW:
            due_ms = schedule.next_ms if schedule.next_ms <= self.now_ms() else schedule.buffered_ms
            occurrence = schedules.occurrence(schedule, due_ms or self.now_ms())
            self._put(transitions.take_over(holder, transitions.replacement(occurrence)))
        return firing.fire(schedule, self.now_ms(), is_active=is_active, is_taken=holder is not None)

    def next_fire_ms(self) -> int | None:
        active = self._active()
        waiting = [schedule for schedule in self._shared.schedules.values() if not schedule.paused]
        buffered = [each.buffered_ms for each in waiting if each.buffered_ms is not None and each.id not in active]
        coming = [schedule.next_ms for schedule in waiting if schedule.next_ms != schedules.NEVER_MS]
        return min(buffered + coming, default=None)

    def _active(self) -> set[str | None]:
        return {task.schedule_id for task in self._shared.tasks.values() if task.status not in FINAL}

    @_whole
    async def publish(self, draft: EventDraft) -> Event:
        await self._turn()
        return self._events.publish(draft)

    async def publish_owed(self, limit: int) -> int:
        await self._turn()
        return 0

    def on_published(self, callback: Callable[[Publication], None]) -> None:
        self._events.callbacks.append(callback)

    async def find_events(self, query: Query, *, on_behalf_of: str | None = None) -> Page[Event]:
        await self._turn()
        return _page(self._shared.events.events, event_view, query)

    async def delete_events_before(self, before_ms: int, limit: int) -> int:
        await self._turn()
        return self._events.delete_before(before_ms, limit)

    @_whole
    async def add_subscription(self, draft: SubscriptionDraft) -> Subscription:
        await self._turn()
        return self._events.add_subscription(draft)

    async def find_subscriptions(self, query: Query) -> Page[Subscription]:
        await self._turn()
        return _page(self._shared.events.subscriptions, subscription_view, query)

    @_whole
    async def add_dispatcher(self, draft: DispatcherDraft) -> Dispatcher:
        await self._turn()
        return self._events.add_dispatcher(draft)

    @_whole
    async def change_dispatcher(self, dispatcher_id: str, change: DispatcherChange) -> Dispatcher:
        await self._turn()
        return self._events.change_dispatcher(dispatcher_id, change)

    @_whole
    async def remove_dispatcher(self, dispatcher_id: str) -> None:
        await self._turn()
        self._events.remove_dispatcher(dispatcher_id)

    async def find_dispatchers(self, query: Query) -> Page[Dispatcher]:
        await self._turn()
        return _page(list(self._shared.events.dispatchers.values()), dispatcher_view, query)

    async def add_operation(
        self, draft: OperationDraft, where: RqlNode, *, on_behalf_of: str | None = None
    ) -> Operation:
        await self._turn()
        kept = self._shared.operations
        before = draft.key and operations.made_before(draft.key, kept.values(), self.now_ms())
        if before:
            return before
        operations.require_room(kept.values())
        everything = Query(where, limit=len(self._shared.tasks))
        ids = [task.id for task in _page(self._shared.tasks.values(), task_view, everything).rows]
        operation = operations.create(draft, self._new_id(), len(ids), self.now_ms())
        kept[operation.id], self._shared.matches[operation.id] = operation, ids
        for gone in operations.forgotten(kept.values(), self.now_ms()):
            del kept[gone.id], self._shared.matches[gone.id]
        self._shared.tell(Change.OPERATIONS, self._shared.nodes.values())
        return operation

    @_whole
    async def advance_operations(
        self, limit: int, objection: OperationObjection = no_operation_objection
    ) -> list[Operation]:
        await self._turn()
        now_ms = self.now_ms()
        due = [operation for operation in self._shared.operations.values() if operation.is_due(now_ms)]
        return [
            advanced
            for operation in due
            if (advanced := self._advance(operation, min(limit, operation.turn), objection(operation))) is not None
        ]

    @_whole
    async def abort_operation(self, operation_id: str) -> Operation:
        await self._turn()
        aborted = operations.abort(self._operation(operation_id), self.now_ms())
        self._shared.operations[operation_id] = aborted
        return aborted

    async def operation(self, operation_id: str) -> Operation:
        await self._turn()
        return self._operation(operation_id)

    async def find_operations(self, query: Query) -> Page[Operation]:
        await self._turn()
        return _page(self._shared.operations.values(), operation_view, query)

    def next_operation_ms(self) -> int | None:
        running = [operation for operation in self._shared.operations.values() if operation.is_running]
        return min((operation.due_ms(self.now_ms()) for operation in running), default=None)

    def _operation(self, operation_id: str) -> Operation:
        found = self._shared.operations.get(operation_id)
        if found is None:
            raise ContractError(errors.RESOURCE_UNKNOWN, f"There is no operation with the id {operation_id}.")
        return found

    def _advance(self, operation: Operation, count: int, objection: str | None) -> Operation | None:
        if objection is not None:
            advanced = operations.fail(operation, self.now_ms(), objection)
        elif operation.is_to_purge:
            advanced = operations.purged(operation, self.now_ms())
        else:
            turn = self._shared.matches[operation.id][operation.position :][:count]
            act = {
                OperationAction.CANCEL: self._cancel_match,
                OperationAction.REPLAY: self._replay_match,
                OperationAction.DELETE: self._delete_match,
                OperationAction.ERASE: self._erase_match,
            }[operation.action]
            kept = self._shared.tasks
            if operation.action is OperationAction.ERASE:
                turn = self._with_copies(turn, operation.id)
                running = [each for each in turn if each in kept and kept[each].status is Status.IN_PROGRESS]
                if running:
                    reason = f"Task {running[0]} runs."
                    self._shared.operations[operation.id] = msgspec.structs.replace(operation, wait_reason=reason)
                    return None
            matched = self._shared.matches[operation.id][operation.position :][:count]
            acted = [task_id for task_id in turn if task_id in kept and act(kept[task_id], operation)]
            done = len(set(acted).intersection(matched))
            calm = msgspec.structs.replace(operation, wait_reason=None)
            advanced = operations.advance(calm, done, len(matched) - done, self.now_ms())
        self._shared.operations[operation.id] = advanced
        return advanced

    def _cancel_match(self, task: Task, operation: Operation) -> bool:
        if task.status is not Status.NEW:
            return False
        self._put(transitions.cancel(task, self.now_ms()))
        return True

    def _replay_match(self, task: Task, operation: Operation) -> bool:
        draft = operations.replay_of(task, operation, self.now_ms())
        slot = None if draft is None else slot_of(draft)
        if draft is None or (slot is not None and self._holder(slot) is not None):
            return False
        [replay] = self._create([draft])
        extras = msgspec.structs.replace(task.extras or TaskExtras(), replayed_by_task_id=replay.id)
        self._shared.tasks[task.id] = msgspec.structs.replace(task, extras=extras)
        return True

    def _with_copies(self, ids: list[str], since_id: str) -> list[str]:
        found = list(ids)
        for task_id in found:
            task = self._shared.tasks.get(task_id)
            replay = task.extras.replayed_by_task_id if task and task.extras else None
            copies = (task and task.retried_by_task_id, replay if replay and replay > since_id else None)
            found += (copy for copy in copies if copy and copy not in found)
        return found

    def _erase_match(self, task: Task, operation: Operation) -> bool:
        if task.status is Status.NEW:
            self._put(transitions.cancel(task, self.now_ms()))
        del self._shared.tasks[task.id]
        self._shared.logs.pop(task.id, None)
        self.forget_subjects([task.id])
        for other in list(self._shared.tasks.values()):
            self._put(_without_links(other, {task.id}))
        return True

    def _delete_match(self, task: Task, operation: Operation) -> bool:
        if task.status not in FINAL:
            return False
        del self._shared.tasks[task.id]
        self._shared.logs.pop(task.id, None)
        self.forget_subjects([task.id])
        return True

    async def replace_logs(self, task_id: str, lines: Sequence[LogLine]) -> None:
        await self._turn()
        if task_id in self._shared.tasks or task_id in self._shared.api_requests:
            self._shared.logs[task_id] = list(lines)

    async def find_logs(self, task_id: str, since_ms: int, offset: int, limit: int) -> list[LogLine]:
        await self._turn()
        lines = [line for line in self._shared.logs.get(task_id, []) if line.timestamp_ms >= since_ms]
        return _until_too_long(lines[offset : offset + limit])

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
        await self._turn()
        ids = [task.id for task in self._shared.tasks.values() if task.function_name == function_name]
        lines = [line for task_id in ids for line in self._shared.logs.get(task_id, [])]
        within = [line for line in lines if since_ms <= line.timestamp_ms <= until_ms]
        return _until_too_long(sorted(within, key=lambda line: line.timestamp_ms)[offset : offset + limit])

    async def begin_api_request(self) -> str:
        await self._turn()
        return self._new_id()

    async def end_api_request(self, request: ApiRequest, lines: Sequence[LogLine]) -> None:
        await self._turn()
        self._shared.api_requests[request.id] = request
        self._shared.logs[request.id] = list(lines)

    async def api_request(self, request_id: str) -> ApiRequest:
        await self._turn()
        found = self._shared.api_requests.get(request_id)
        if found is None:
            raise ContractError(errors.RESOURCE_UNKNOWN, f"There is no API request with the id {request_id}.")
        return found

    async def find_api_requests(self, query: Query, *, on_behalf_of: str | None = None) -> Page[ApiRequest]:
        await self._turn()
        in_order = [self._shared.api_requests[key] for key in sorted(self._shared.api_requests)]
        return _page(in_order, api_request_view, query)

    async def erase_tasks(self, ids: Collection[str]) -> int:
        count = await self.delete_tasks(ids)
        gone = {task_id for task_id in ids if task_id not in self._shared.tasks}
        for task in list(self._shared.tasks.values()):
            self._put(_without_links(task, gone))
        for digest, used in self._shared.keys.items():
            if gone.intersection(used.task_ids):
                self._shared.keys[digest] = msgspec.structs.replace(used, fingerprint=b"")
        await self.forget_deliveries(sorted(gone))
        return count

    async def purge(self) -> None:
        await self._turn()

    async def expire(self, retention: Retention) -> Expired:
        await self._turn()
        tasks = [task for task in self._shared.tasks.values() if self._is_expired(task, retention)]
        self._delete([task.id for task in tasks])
        requests = [
            each.id
            for each in self._shared.api_requests.values()
            if self._is_over("api_requests_ms", each.function_name, each.timestamp_ms, retention)
        ]
        for request_id in requests:
            del self._shared.api_requests[request_id]
            self._shared.logs.pop(request_id, None)
        lines = 0
        for owner, kept in self._shared.logs.items():
            of = self._shared.tasks.get(owner) or self._shared.api_requests.get(owner)
            name = "" if of is None else of.function_name
            young = [line for line in kept if not self._is_over("logs_ms", name, line.timestamp_ms, retention)]
            lines += len(kept) - len(young)
            self._shared.logs[owner] = young
        return Expired(len(tasks), len(requests), lines, is_last=True)

    def _is_expired(self, task: Task, retention: Retention) -> bool:
        kind = {status: kind for kind, status in STATUS_OF_KIND.items()}.get(task.status)
        return kind is not None and self._is_over(kind, task.function_name, task.status_changed_ms, retention)

    def _is_over(self, kind: str, function_name: str, at_ms: int, retention: Retention) -> bool:
        function = self._shared.functions.get(function_name)
        own_ms = None if function is None else getattr(function.retention, kind)
        kept_ms = getattr(retention, kind) if own_ms is None else own_ms
        return kept_ms is not None and self.now_ms() - at_ms >= kept_ms

    async def turn(self) -> str:
        await self._turn()
        return self._node.id

    def lives(self, node_id: str) -> bool:
        return self._lives(node_id)

    def page(self, records: Iterable[T], view: Callable[[T], Struct], query: Query) -> Page[T]:
        return _page(records, view, query)

    def deliveries_changed(self) -> None:
        self._shared.tell(Change.DELIVERIES, self._shared.nodes.values())

    async def _turn(self) -> None:
        """Lets other nodes go first, as a round trip would; and shows that this one lives."""
        await asyncio.sleep(0)
        if self._is_dead:
            raise StoreUnavailableError("This node is cut off.")
        self._node = msgspec.structs.replace(self._node, beat_ms=self.now_ms())

    def _lives(self, node_id: str) -> bool:
        node = self._shared.nodes.get(node_id)
        return node is not None and self.now_ms() - node._node.beat_ms < LEASE_MS

    def _used(self, key: IdempotencyKey) -> UsedKey | None:
        kept_from_ms = self.now_ms() - limits.IDEMPOTENCY_KEY_TTL_MS
        kept = {digest: used for digest, used in self._shared.keys.items() if used.at_ms >= kept_from_ms}
        self._shared.keys = kept
        used = kept.get(key.digest)
        held = sum(each.owner == key.owner for each in kept.values())
        if used is None and not has_room(held, len(kept), limits.IDEMPOTENCY_KEYS_MAX):
            raise ContractError(errors.TOO_MANY_REQUESTS, f"{len(kept)} keys were used already.")
        if used is not None and used.fingerprint and used.fingerprint != key.fingerprint:
            raise ContractError(
                errors.ILLEGAL_ARGUMENT, "The Idempotency-Key was used for another request before; use a new key."
            )
        return used

    def _task(self, task_id: str) -> Task:
        task = self._shared.tasks.get(task_id)
        if task is None:
            raise ContractError(errors.RESOURCE_UNKNOWN, f"There is no task with the id {task_id}.")
        return task

    def _schedule(self, schedule_id: str) -> Schedule:
        schedule = self._shared.schedules.get(schedule_id)
        if schedule is None:
            raise ContractError(errors.RESOURCE_UNKNOWN, f"There is no schedule with the id {schedule_id}.")
        return schedule

    def _due(self, held: Collection[str] = NO_FUNCTIONS) -> list[Task]:
        now_ms = self.now_ms()
        waiting = (task for task in self._shared.tasks.values() if task.status is Status.NEW)
        return [task for task in waiting if task.due_ms <= now_ms and task.function_name not in held]

    def _create(self, drafts: Sequence[TaskDraft]) -> list[Task]:
        tasks = [self._put(self._new(draft)) for draft in drafts]
        self._shared.tell(Change.DUE, self._shared.nodes.values())
        return tasks

    def _new(self, draft: TaskDraft) -> Task:
        return transitions.create(draft, self._new_id(), self._shared.next_seq(), self.now_ms())

    def _begin(self, task: Task) -> Task:
        self._shared.owners[task.id] = self._node.id
        self._shared.limits.start(task, self.now_ms())
        return self._put(transitions.start(task, self.now_ms()))

    def _put(self, task: Task) -> Task:
        self._shared.tasks[task.id] = task
        if task.status in FINAL or task.status is Status.NEW:
            self._shared.owners.pop(task.id, None)
        if task.status in FINAL:
            self._shared.tell_of_end()
            self.kept.ended(task)
            self.deliveries_changed()
        return task

    def _settle(self, outcome: Outcome) -> Task | None:
        if self._shared.owners.get(outcome.task_id) != self._node.id:
            return None
        return self._end(self._task(outcome.task_id), outcome)

    def _end(self, task: Task, outcome: Outcome) -> Task:
        now_ms = self.now_ms()
        if not isinstance(outcome, Requeued):
            self._shared.logs.setdefault(task.id, []).extend(outcome.logs)
        if isinstance(outcome, Requeued):
            self._shared.limits.requeue(task.id)
        else:
            unknown = unknown_outcome("")
            error = None if isinstance(outcome, Completed) else outcome.error
            is_zombie = error is not None and (error.type, error.name) == (unknown.type, unknown.name)
            self._shared.limits.end(task.id, is_zombie=is_zombie)
        match outcome:
            case Completed():
                return self._put(transitions.complete(task, now_ms))
            case Failed():
                self._events.tell(task_failed(task, outcome.error))
                return self._put(transitions.fail(task, now_ms, outcome.error))
            case Retried():
                [successor] = self._create([outcome.successor])
                return self._put(transitions.retry(task, now_ms, outcome.error, successor.id))
            case Requeued():
                self._shared.tell(Change.DUE, self._shared.nodes.values())
                return self._put(transitions.requeue(task, now_ms, outcome.not_before_ms))

    def _end_zombie(self, task: Task) -> Task:
        error = unknown_outcome("The node that ran the task died, so its outcome is not known.")
        successor = successor_of(task, self._shared.functions.get(task.function_name), error, self.now_ms())
        outcome = Failed(task.id, error) if successor is None else Retried(task.id, error, successor)
        return self._end(task, outcome)

    def _functions_changed(self) -> None:
        self._view = dict(self._shared.functions)
        others = [node for node in self._shared.nodes.values() if node is not self]
        self._shared.tell(Change.FUNCTIONS, others)


def _page(records: Iterable[T], view: Callable[[T], Struct], query: Query) -> Page[T]:
    for node in _comparisons(query.where):
        if node.path[0] in TIMES:
            for value in node.values if isinstance(node, Member) else (node.value,):
                epoch_ms(value, node.position)
    shown = [(record, msgspec.json.decode(msgspec.json.encode(view(record)))) for record in records]
    found = [(record, row) for record, row in shown if query.where is None or naive_matches(row, query.where)]
    for key in reversed(query.sort):
        found.sort(key=functools.partial(_sort_value, key.path), reverse=key.descending)
    rows = [record for record, _ in found[query.offset : query.offset + query.limit]]
    return Page(rows, None if query.skip_count else len(found))


def _until_too_long(lines: list[LogLine]) -> list[LogLine]:
    sums = list(itertools.accumulate(len(line.message.encode()) for line in lines))
    return lines[: bisect.bisect_left(sums, limits.LOG_PAGE_MAX_BYTES) + 1]


def _with_apart(page: Page[Task], from_bytes: int) -> Page[Task]:
    apart = {place: len(task.data) for place, task in enumerate(page.rows) if len(task.data) >= from_bytes}
    rows = [msgspec.structs.replace(task, data=b"") if place in apart else task for place, task in enumerate(page.rows)]
    return Page(rows, page.total, apart)


def _without_links(task: Task, gone: set[str]) -> Task:
    def kept(task_id: str | None) -> str | None:
        return "0" * 24 if task_id in gone else task_id

    extras = task.extras and msgspec.structs.replace(
        task.extras,
        replay_of_task_id=kept(task.extras.replay_of_task_id),
        replayed_by_task_id=kept(task.extras.replayed_by_task_id),
    )
    return msgspec.structs.replace(
        task,
        retry_for_task_ids=tuple("0" * 24 if each in gone else each for each in task.retry_for_task_ids),
        retried_by_task_id=kept(task.retried_by_task_id),
        extras=extras,
    )


def _sort_value(path: tuple[str, ...], pair: tuple[Any, dict[str, Any]]) -> tuple[int, Any]:
    return sort_value(pair[1], path)


def _comparisons(node: RqlNode | None) -> Iterator[Compare | Member]:
    if isinstance(node, Group):
        for condition in node.conditions:
            yield from _comparisons(condition)
    elif isinstance(node, Compare | Member):
        yield node
