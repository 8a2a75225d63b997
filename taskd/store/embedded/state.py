"""The live state, as a pure fold over events: the same code runs when things happen and when they are replayed.

Tasks that have ended leave the state; only the catalogue knows them from then on. So it is with large data of tasks
that wait, until somebody puts it back into the state.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from sys import intern
from typing import Any

from msgspec.structs import force_setattr, replace

from taskd.model import operation as operations
from taskd.model import task as transitions
from taskd.model.function import Function
from taskd.model.operation import Operation
from taskd.model.pause import Pause
from taskd.model.schedule import Schedule
from taskd.model.shares import Shares
from taskd.model.task import Task
from taskd.store.embedded import events
from taskd.store.embedded.event_state import EventState
from taskd.store.embedded.events import Added, Event, Replaced, UsedKey
from taskd.store.embedded.live_tasks import LiveTasks
from taskd.store.embedded.queue.usage import Usages
from taskd.store.embedded.schedule_times import ScheduleTimes
from taskd.store.embedded.stored_data import IN_MEMORY_MAX_BYTES, with_data, without_large_data
from taskd.store.embedded.unique_keys import UniqueKeys
from taskd.store.embedded.webhook_state import WebhookState


class LiveState:
    """Live tasks, functions, schedules, operations, used keys, and the counters that numbering goes on from."""

    def __init__(self) -> None:
        self.tasks = LiveTasks()
        self.unique = UniqueKeys(self.tasks)
        self.functions: dict[str, Function] = {}
        self.schedules: dict[str, Schedule] = {}
        self.operations: dict[str, Operation] = {}
        """In the order of their creation, those that have ended, too."""
        self.active: dict[str, int] = {}
        """How many tasks of a schedule wait or run, by its id, where there are any."""
        self.schedule_times = ScheduleTimes(self.schedules, self.active)
        self.released = False
        """Whether the end of a task has let go of an occurrence that was buffered, since somebody last looked."""
        self.deleted: list[int] = []
        """The numbers of ended tasks that were deleted, for whoever keeps history: to be taken with the frame."""
        self.used_keys: OrderedDict[bytes, UsedKey] = OrderedDict()
        """Idempotency keys by their digest, in the order of their use."""
        self.key_shares: Shares[str] = Shares()
        """How many of them each owner holds."""
        self.events = EventState()
        self.pause: Pause | None = None
        """Why nothing is started, while that is so."""
        self.usages = Usages()
        """What is used up of functions' start rules."""
        self.webhooks = WebhookState()
        self.last_seq = 0
        self.last_id: str | None = None
        self.ended = 0
        """How many tasks ever came to an end."""

    def apply_all(self, batch: Iterable[Event]) -> list[Task]:
        """Applies one frame; gives the tasks that changed, in the order of the events, added ones as they came.

        For those who keep no history: what has changed of that is not noted.
        """
        changed: list[Task] = []
        for event in batch:
            changed += self.apply(event)
        self.deleted.clear()
        if self.webhooks.projected:
            self.webhooks.take_projected()
        return changed

    def apply(self, event: Event) -> list[Task]:
        """Applies one event; gives the tasks that changed.

        :raises KeyError, IllegalTransitionError: if the event does not fit the state, which it left as it was.
        """
        return _APPLY[type(event)](self, event)

    def counters(self) -> events.Counters:
        """What a snapshot of this state must carry besides what is alive."""
        return events.Counters(self.last_seq, self.last_id, self.ended, self.events.count)

    def take_deleted(self) -> Sequence[int]:
        """The numbers in ``deleted``, which is empty then."""
        if not self.deleted:
            return ()
        deleted, self.deleted = self.deleted, []
        return deleted

    def replace(self, tasks: list[Task]) -> list[Task]:
        """Takes the new states of tasks that stay alive."""
        self.tasks.put(tasks)
        if self.unique.live:
            self.unique.changed(tasks)
        return tasks

    def end(self, tasks: list[Task]) -> list[Task]:
        """Lets go of tasks that came to an end."""
        for task in tasks:
            self.tasks.remove(task.id)
            if task.schedule_id is not None:
                self._one_less(task.schedule_id)
            if task.extras is not None:
                self.unique.ended(task)
        if self.usages.by_function:
            self.usages.ended(tasks)
        self.ended += len(tasks)
        if self.webhooks.wanted:
            self.webhooks.owe(tasks)
        return tasks

    def one_more(self, schedule_id: str) -> None:
        """A task of this schedule waits."""
        self.active[schedule_id] = self.active.get(schedule_id, 0) + 1
        self.schedule_times.changed(schedule_id)

    def _one_less(self, schedule_id: str) -> None:
        count = self.active.pop(schedule_id) - 1
        if count:
            self.active[schedule_id] = count
        elif (schedule := self.schedules.get(schedule_id)) is not None and schedule.buffered_ms is not None:
            self.released = True
            self.schedule_times.changed(schedule_id)


def share(task: Task) -> None:
    """Lets ``task``, fresh from a decoder, share with others what is equal: over 100 bytes of a waiting one."""
    force_setattr(task, "function_name", intern(task.function_name))
    if task.created_by_user_id is not None:
        force_setattr(task, "created_by_user_id", intern(task.created_by_user_id))
    if task.created_by_application_id is not None:
        force_setattr(task, "created_by_application_id", intern(task.created_by_application_id))
    creation_ms = task.creation_ms
    if task.status_changed_ms is not creation_ms and task.status_changed_ms == creation_ms:
        force_setattr(task, "status_changed_ms", creation_ms)
    if task.start_ms is not creation_ms and task.start_ms == creation_ms:
        force_setattr(task, "start_ms", creation_ms)


def apply_frame(state: LiveState, events: Sequence[Event]) -> tuple[list[Task], list[Task]]:
    """Applies one frame to the state; gives the tasks it added and those it changed, as the catalogue takes them.

    Those that took something over are among the first: all of them is told anew.
    """
    added: list[Task] = []
    changed: list[Task] = []
    for event in events:
        kind = type(event)
        target = added if kind is Added or kind is Replaced else changed
        target += state.apply(event)
    return added, changed


def _added(state: LiveState, event: events.Added) -> list[Task]:
    large: list[Task] = []
    unique: list[Task] = []
    for task in event.tasks:
        share(task)
        if task.schedule_id is not None and state.tasks.get(task.id) is None:
            state.one_more(task.schedule_id)
        if len(task.data) > IN_MEMORY_MAX_BYTES:
            large.append(task)
        if task.extras is not None and task.extras.unique is not None:
            unique += [] if task.id in state.tasks else [task]
    state.usages.added_large(large)
    if event.tasks and event.tasks[-1].seq > state.last_seq:
        state.last_seq, state.last_id = event.tasks[-1].seq, event.tasks[-1].id
    state.tasks.put(map(without_large_data, event.tasks) if large else event.tasks)
    for task in unique:
        state.unique.added(task)
    return list(event.tasks)


def _replaced(state: LiveState, event: events.Replaced) -> list[Task]:
    task = transitions.take_over(state.tasks[event.task_id], event.new)
    share(task)
    if len(task.data) > IN_MEMORY_MAX_BYTES:
        state.usages.added_large([task])
    state.replace([without_large_data(task)])
    return [with_data(task, event.new.data)]


def _started(state: LiveState, event: events.Started) -> list[Task]:
    tasks = [transitions.start(state.tasks[task_id], event.at_ms) for task_id in event.task_ids]
    if state.usages.by_function:
        state.usages.started(tasks, event.keys, event.at_ms)
    return state.replace(tasks)


def _requeued(state: LiveState, event: events.Requeued) -> list[Task]:
    task = transitions.requeue(state.tasks[event.task_id], event.at_ms, event.not_before_ms)
    if state.usages.by_function:
        state.usages.requeued(task)
    return state.replace([without_large_data(task)])


def _completed(state: LiveState, event: events.Completed) -> list[Task]:
    return state.end([transitions.complete(state.tasks[task_id], event.at_ms) for task_id in event.task_ids])


def _failed(state: LiveState, event: events.Failed) -> list[Task]:
    task = transitions.fail(state.tasks[event.task_id], event.at_ms, event.error)
    if event.owes_event:
        state.events.owed[event.task_id] = None
    return state.end([task])


def _retried(state: LiveState, event: events.Retried) -> list[Task]:
    task = state.tasks[event.task_id]
    return state.end([transitions.retry(task, event.at_ms, event.error, event.successor_id)])


def _canceled(state: LiveState, event: events.Canceled) -> list[Task]:
    return state.end([transitions.cancel(state.tasks[event.task_id], event.at_ms)])


def _function_put(state: LiveState, event: events.FunctionPut) -> list[Task]:
    state.functions[event.function.name] = event.function
    state.usages.set_function(event.function, state.tasks.values())
    return []


def _function_removed(state: LiveState, event: events.FunctionRemoved) -> list[Task]:
    del state.functions[event.name]
    state.usages.remove_function(event.name)
    return []


def _schedule_put(state: LiveState, event: events.SchedulePut) -> list[Task]:
    state.schedules[event.schedule.id] = event.schedule
    state.schedule_times.changed(event.schedule.id)
    return []


def _schedule_advanced(state: LiveState, event: events.ScheduleAdvanced) -> list[Task]:
    schedule = state.schedules[event.schedule_id]
    state.schedules[schedule.id] = replace(
        schedule,
        next_ms=event.next_ms,
        update_ms=event.at_ms,
        delay_ms=event.delay_ms,
        remaining=event.remaining,
        buffered_ms=event.buffered_ms,
    )
    state.schedule_times.changed(schedule.id)
    return []


def _schedule_removed(state: LiveState, event: events.ScheduleRemoved) -> list[Task]:
    del state.schedules[event.schedule_id]
    state.schedule_times.changed(event.schedule_id)
    return []


def _operation_put(state: LiveState, event: events.OperationPut) -> list[Task]:
    state.operations[event.operation.id] = event.operation
    return []


def _operation_advanced(state: LiveState, event: events.OperationAdvanced) -> list[Task]:
    operation = state.operations[event.operation_id]
    state.operations[operation.id] = operations.advance(operation, event.done, event.skipped, event.at_ms)
    return []


def _operation_removed(state: LiveState, event: events.OperationRemoved) -> list[Task]:
    del state.operations[event.operation_id]
    return []


def _keys_used(state: LiveState, event: events.KeysUsed) -> list[Task]:
    used, shares = state.used_keys, state.key_shares
    for key in event.keys:
        if (before := used.get(key.digest)) is not None:
            shares.give_back(before.owner)
        force_setattr(key, "owner", intern(key.owner))
        used[key.digest] = key
        used.move_to_end(key.digest)  # one that is used again after its time is the youngest now
        shares.take(key.owner)
    while used and next(iter(used.values())).at_ms < event.kept_from_ms:
        shares.give_back(used.popitem(last=False)[1].owner)
    return []


def _unique_kept(state: LiveState, event: events.UniqueKeysKept) -> list[Task]:
    state.unique.keep(event.keys)
    return []


def _unique_forgotten(state: LiveState, event: events.UniqueKeysForgotten) -> list[Task]:
    state.unique.forget(event.until_ms)
    return []


def _deleted(state: LiveState, event: events.Deleted) -> list[Task]:
    state.deleted += event.seqs
    state.unique.forget_tasks(event.seqs)
    return []


def _published(state: LiveState, event: events.Published) -> list[Task]:
    for task_id in event.owed_task_ids:
        state.events.owed.pop(task_id, None)  # none where the failure was in a part of the journal that is lost
    state.events.published = event.events
    state.events.count += len(event.events)
    return []


def _owed(state: LiveState, event: events.Owed) -> list[Task]:
    state.events.owed.update(dict.fromkeys(event.task_ids))
    return []


def _dispatcher_put(state: LiveState, event: events.DispatcherPut) -> list[Task]:
    state.events.put(event.dispatcher)
    return []


def _dispatcher_removed(state: LiveState, event: events.DispatcherRemoved) -> list[Task]:
    state.events.remove(event.dispatcher_id)
    return []


def _subscription_put(state: LiveState, event: events.SubscriptionPut) -> list[Task]:
    state.events.subscriptions[event.subscription.id] = event.subscription
    return []


def _all_paused(state: LiveState, event: events.AllPaused) -> list[Task]:
    state.pause = event.pause
    return []


def _all_resumed(state: LiveState, event: events.AllResumed) -> list[Task]:
    state.pause = None
    return []


def _unlinked(state: LiveState, event: events.Unlinked) -> list[Task]:
    task = state.tasks.get(event.task_id)
    if task is None:
        return []
    extras = task.extras and replace(task.extras, replay_of_task_id=event.replay_of_task_id)
    return state.replace([replace(task, retry_for_task_ids=event.retry_for_task_ids, extras=extras)])


def _unique_erased(state: LiveState, event: events.UniqueKeysErased) -> list[Task]:
    state.unique.forget_tasks(event.seqs)
    return []


def _id_taken(state: LiveState, event: events.IdTaken) -> list[Task]:
    state.last_id = max(state.last_id or "", event.id)
    return []


def _rules_used(state: LiveState, event: events.RulesUsed) -> list[Task]:
    state.usages.restore(event.function_name, event.places, event.arrivals_ns)
    return []


def _webhook_put(state: LiveState, event: events.WebhookPut) -> list[Task]:
    state.webhooks.put_webhook(event.webhook)
    return []


def _webhook_disabled(state: LiveState, event: events.WebhookDisabled) -> list[Task]:
    state.webhooks.disable_webhook(event.webhook_id, event.at_ms, event.reason)
    return []


def _webhook_removed(state: LiveState, event: events.WebhookRemoved) -> list[Task]:
    state.webhooks.remove_webhook(event.webhook_id)
    return []


def _deliveries_put(state: LiveState, event: events.DeliveriesPut) -> list[Task]:
    state.webhooks.put_deliveries(event.deliveries, event.of_task_ids)
    return []


def _deliveries_attempted(state: LiveState, event: events.DeliveriesAttempted) -> list[Task]:
    for attempt in event.attempts:
        state.webhooks.attempted(attempt)
    return []


def _deliveries_erased(state: LiveState, event: events.DeliveriesErased) -> list[Task]:
    state.webhooks.erase(event.subject_ids)
    return []


def _deliveries_owed(state: LiveState, event: events.DeliveriesOwed) -> list[Task]:
    state.webhooks.put_owed(event.tasks)
    return []


def _counters(state: LiveState, event: events.Counters) -> list[Task]:
    state.last_seq, state.last_id, state.ended = event.last_seq, event.last_id, event.ended
    state.events.count = event.published
    return []


_APPLY: dict[type, Callable[[LiveState, Any], list[Task]]] = {
    events.Added: _added,
    events.Started: _started,
    events.Requeued: _requeued,
    events.Completed: _completed,
    events.Failed: _failed,
    events.Retried: _retried,
    events.Canceled: _canceled,
    events.FunctionPut: _function_put,
    events.FunctionRemoved: _function_removed,
    events.SchedulePut: _schedule_put,
    events.ScheduleAdvanced: _schedule_advanced,
    events.ScheduleRemoved: _schedule_removed,
    events.OperationPut: _operation_put,
    events.OperationAdvanced: _operation_advanced,
    events.OperationRemoved: _operation_removed,
    events.KeysUsed: _keys_used,
    events.Replaced: _replaced,
    events.UniqueKeysKept: _unique_kept,
    events.UniqueKeysForgotten: _unique_forgotten,
    events.Deleted: _deleted,
    events.Published: _published,
    events.Owed: _owed,
    events.DispatcherPut: _dispatcher_put,
    events.DispatcherRemoved: _dispatcher_removed,
    events.SubscriptionPut: _subscription_put,
    events.AllPaused: _all_paused,
    events.AllResumed: _all_resumed,
    events.Unlinked: _unlinked,
    events.UniqueKeysErased: _unique_erased,
    events.IdTaken: _id_taken,
    events.RulesUsed: _rules_used,
    events.WebhookPut: _webhook_put,
    events.WebhookDisabled: _webhook_disabled,
    events.WebhookRemoved: _webhook_removed,
    events.DeliveriesPut: _deliveries_put,
    events.DeliveriesAttempted: _deliveries_attempted,
    events.DeliveriesErased: _deliveries_erased,
    events.DeliveriesOwed: _deliveries_owed,
    events.Counters: _counters,
}
