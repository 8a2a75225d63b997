"""What happened: the events that journal frames carry, and their encoding (msgpack arrays with a tag in front).

Events may grow by trailing fields with defaults. Tags are never reused for something else.
"""

from collections.abc import Iterator, Sequence

import msgspec
from msgspec import Struct

from taskd.model.delivery import Attempt, Delivery
from taskd.model.dispatcher import Dispatcher
from taskd.model.event import Event as KeptEvent
from taskd.model.event import Subscription
from taskd.model.function import Function
from taskd.model.operation import Operation
from taskd.model.pause import Pause
from taskd.model.schedule import Schedule
from taskd.model.start_rules import Keys
from taskd.model.task import Replacement, Task, TaskError
from taskd.model.webhook import Webhook
from taskd.store.embedded.queue.usage import Place


class UsedKey(Struct, frozen=True, gc=False, array_like=True):
    """A key that tasks were created under. Written to the journal in this order: add new fields at the end."""

    digest: bytes
    fingerprint: bytes
    at_ms: int
    first_seq: int
    """The first of the tasks; the others were numbered on from it."""
    count: int
    owner: str = ""
    """As in ``IdempotencyKey``."""
    conflicts: tuple[tuple[int, int], ...] = ()
    """Places of the request that were answered with a task there was, and its number; those are no part of the tasks
    that were numbered on."""


class KeptKey(Struct, frozen=True, gc=False, array_like=True):
    """A unique key that outlasts its task. Written to the journal in this order: add new fields at the end."""

    function_name: str
    key: str
    task_id: str
    seq: int
    """The task's number."""
    ends_ms: int
    owner: str
    """Whose share of all kept keys it takes."""


class Added(Struct, tag="a", array_like=True, frozen=True, gc=False):
    """Tasks exist, as they are here (in a snapshot also ones that had already started)."""

    tasks: tuple[Task, ...]


class Started(Struct, tag="s", array_like=True, frozen=True, gc=False):
    """Tasks were handed to the runtime."""

    task_ids: tuple[str, ...]
    at_ms: int
    keys: tuple[Keys, ...] = ()
    """Of each, under its function's start rules; none where all would be empty."""


class Failed(Struct, tag="e", array_like=True, frozen=True, gc=False):
    """A task in progress came to a bad end, and nothing follows."""

    task_id: str
    at_ms: int
    error: TaskError
    owes_event: bool = False
    """Whether the event that says so could not be published in the same frame, and still has to be."""


class Retried(Struct, tag="r", array_like=True, frozen=True, gc=False):
    """A task in progress came to a bad end; its successor is added in the same frame."""

    task_id: str
    at_ms: int
    error: TaskError
    successor_id: str


class Completed(Struct, tag="c", array_like=True, frozen=True, gc=False):
    """Tasks in progress came to their good end: by far the most frequent way to settle, so one event takes many."""

    task_ids: tuple[str, ...]
    at_ms: int


class Requeued(Struct, tag="q", array_like=True, frozen=True, gc=False):
    """A task in progress had not run after all, and waits again."""

    task_id: str
    at_ms: int
    not_before_ms: int


class Canceled(Struct, tag="x", array_like=True, frozen=True, gc=False):
    """A waiting task was cancelled."""

    task_id: str
    at_ms: int


class FunctionPut(Struct, tag="f", array_like=True, frozen=True):
    """A function is known, in place of an earlier one of its name."""

    function: Function


class FunctionRemoved(Struct, tag="g", array_like=True, frozen=True, gc=False):
    """A function is no longer known."""

    name: str


class SchedulePut(Struct, tag="h", array_like=True, frozen=True, gc=False):
    """A schedule exists, in place of an earlier state of it."""

    schedule: Schedule


class ScheduleAdvanced(Struct, tag="j", array_like=True, frozen=True, gc=False):
    """A due schedule has moved on. If an occurrence was made, its task is added in the same frame."""

    schedule_id: str
    next_ms: int
    at_ms: int
    delay_ms: int = 0
    remaining: int | None = None
    buffered_ms: int | None = None


class ScheduleRemoved(Struct, tag="i", array_like=True, frozen=True, gc=False):
    """A schedule is gone."""

    schedule_id: str


class OperationPut(Struct, tag="oP", array_like=True, frozen=True, gc=False):
    """An operation exists, in place of an earlier state of it."""

    operation: Operation


class OperationAdvanced(Struct, tag="oA", array_like=True, frozen=True, gc=False):
    """Some matches of an operation have had their turn; what was done to them is in the same frame."""

    operation_id: str
    at_ms: int
    done: int
    skipped: int


class OperationRemoved(Struct, tag="oR", array_like=True, frozen=True, gc=False):
    """An operation that had ended is forgotten."""

    operation_id: str


class KeysUsed(Struct, tag="k", array_like=True, frozen=True, gc=False):
    """Tasks, added in the same frame, were created under these keys.

    The oldest keys are forgotten on the way, up to the first one used at ``kept_from_ms`` or later.
    """

    keys: tuple[UsedKey, ...]
    kept_from_ms: int


class Replaced(Struct, tag="ur", array_like=True, frozen=True, gc=False):
    """A waiting task took over what a later one of its unique key was to be."""

    task_id: str
    seq: int
    """The task's number."""
    new: Replacement


class UniqueKeysKept(Struct, tag="uk", array_like=True, frozen=True, gc=False):
    """Keys of tasks that have ended are still theirs: in snapshots, where their tasks are not."""

    keys: tuple[KeptKey, ...]


class UniqueKeysForgotten(Struct, tag="uf", array_like=True, frozen=True, gc=False):
    """Kept keys that had ended by then are gone. Some go without it, whenever the task of such a key ends."""

    until_ms: int


class Deleted(Struct, tag="z", array_like=True, frozen=True, gc=False):
    """Tasks that had ended are gone for good. By their numbers: an id in here would outlive its task."""

    seqs: tuple[int, ...]


class Published(Struct, tag="b", array_like=True, frozen=True, gc=False):
    """Events were published; the tasks that they make are added in the same frame."""

    events: tuple[KeptEvent, ...]
    owed_task_ids: tuple[str, ...] = ()
    """Of the failed tasks whose events are owed no more."""


class Owed(Struct, tag="bo", array_like=True, frozen=True, gc=False):
    """In a snapshot: tasks that failed, and whose events are still to be published."""

    task_ids: tuple[str, ...]


class DispatcherPut(Struct, tag="d", array_like=True, frozen=True):
    """A dispatcher exists, in place of an earlier state of it."""

    dispatcher: Dispatcher


class DispatcherRemoved(Struct, tag="dr", array_like=True, frozen=True, gc=False):
    """A dispatcher is gone."""

    dispatcher_id: str


class SubscriptionPut(Struct, tag="ds", array_like=True, frozen=True):
    """A subscription exists."""

    subscription: Subscription


class AllPaused(Struct, tag="yp", array_like=True, frozen=True, gc=False):
    """Nothing is started from now on."""

    pause: Pause


class AllResumed(Struct, tag="yr", array_like=True, frozen=True, gc=False):
    """Everything goes on."""


class Unlinked(Struct, tag="zl", array_like=True, frozen=True, gc=False):
    """A task that waits or runs names erased tasks no longer. Nothing happens if it has ended meanwhile."""

    task_id: str
    retry_for_task_ids: tuple[str, ...]
    replay_of_task_id: str | None


class UniqueKeysErased(Struct, tag="zu", array_like=True, frozen=True, gc=False):
    """Unique keys that outlasted these tasks, which were erased, are free again."""

    seqs: tuple[int, ...]


class IdTaken(Struct, tag="zn", array_like=True, frozen=True, gc=False):
    """No later id is smaller than this one, which is nothing's: the newest task's own may have to be forgotten."""

    id: str


class RulesUsed(Struct, tag="tu", array_like=True, frozen=True, gc=False):
    """What a function uses up of its start rules, beside what other such events say: only in snapshots."""

    function_name: str
    places: tuple[Place, ...]
    arrivals_ns: tuple[tuple[bytes, int], ...]
    """The state of its throttle, by key."""


class WebhookPut(Struct, tag="wp", array_like=True, frozen=True, gc=False):
    """A webhook is there, in place of an earlier state of it."""

    webhook: Webhook


class WebhookDisabled(Struct, tag="ws", array_like=True, frozen=True, gc=False):
    """A webhook is told of nothing until it is enabled; all else of it is as it was."""

    webhook_id: str
    at_ms: int
    reason: str


class WebhookRemoved(Struct, tag="wr", array_like=True, frozen=True, gc=False):
    """A webhook is gone, and what waited for it."""

    webhook_id: str


class DeliveriesPut(Struct, tag="wd", array_like=True, frozen=True, gc=False):
    """Deliveries are as they are here; all that there are to be of some ended tasks were made with them."""

    deliveries: tuple[Delivery, ...]
    of_task_ids: tuple[str, ...] = ()


class DeliveriesAttempted(Struct, tag="wa", array_like=True, frozen=True, gc=False):
    """Attempts to deliver have ended."""

    attempts: tuple[Attempt, ...]


class DeliveriesErased(Struct, tag="wx", array_like=True, frozen=True, gc=False):
    """Nothing is to be known any more of what was delivered about these."""

    subject_ids: tuple[str, ...]


class DeliveriesOwed(Struct, tag="wo", array_like=True, frozen=True, gc=False):
    """In a snapshot: ended tasks of which deliveries are still to be made. Their data is in the catalogue alone."""

    tasks: tuple[Task, ...]


class Counters(Struct, tag="n", array_like=True, frozen=True, gc=False):
    """What a snapshot must carry besides what is alive, so that numbering goes on and losses can be named."""

    last_seq: int
    last_id: str | None
    ended: int
    """How many tasks had come to an end: they are not in the snapshot, only the catalogue has them."""
    published: int = 0
    """How many events had been published, which the catalogue alone has as well."""


Event = (
    Added
    | Started
    | Completed
    | Failed
    | Retried
    | Requeued
    | Canceled
    | FunctionPut
    | FunctionRemoved
    | SchedulePut
    | ScheduleAdvanced
    | ScheduleRemoved
    | OperationPut
    | OperationAdvanced
    | OperationRemoved
    | KeysUsed
    | Replaced
    | UniqueKeysKept
    | UniqueKeysForgotten
    | Deleted
    | Published
    | Owed
    | DispatcherPut
    | DispatcherRemoved
    | SubscriptionPut
    | AllPaused
    | AllResumed
    | Unlinked
    | UniqueKeysErased
    | IdTaken
    | RulesUsed
    | WebhookPut
    | WebhookDisabled
    | WebhookRemoved
    | DeliveriesPut
    | DeliveriesAttempted
    | DeliveriesErased
    | DeliveriesOwed
    | Counters
)


def data_in(event: Event) -> Iterator[tuple[int, bytes]]:
    """The data that ``event`` says tasks have from then on, by their numbers."""
    if isinstance(event, Added):
        yield from ((task.seq, task.data) for task in event.tasks)
    elif isinstance(event, Replaced):
        yield event.seq, event.new.data


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[list[Event]] = msgspec.msgpack.Decoder(list[Event])


def encode_events(events: Sequence[Event]) -> bytes:
    """One frame's payload; never empty, not even for no events."""
    return _encoder.encode(events)


def decode_events(payload: bytes | memoryview) -> list[Event]:
    """The events of a frame; raises ``msgspec.DecodeError`` if the payload is none."""
    return _decoder.decode(payload)
