"""What happened: the events that journal frames carry, and their encoding (msgpack arrays with a tag in front).

Events may grow by trailing fields with defaults. Tags are never reused for something else.
"""

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from taskd.model.function import Function
from taskd.model.schedule import Schedule
from taskd.model.task import Task, TaskError


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


class Added(Struct, tag="a", array_like=True, frozen=True, gc=False):
    """Tasks exist, as they are here (in a snapshot also ones that had already started)."""

    tasks: tuple[Task, ...]


class Started(Struct, tag="s", array_like=True, frozen=True, gc=False):
    """Tasks were handed to the runtime."""

    task_ids: tuple[str, ...]
    at_ms: int


class Failed(Struct, tag="e", array_like=True, frozen=True, gc=False):
    """A task in progress came to a bad end, and nothing follows."""

    task_id: str
    at_ms: int
    error: TaskError


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


class KeysUsed(Struct, tag="k", array_like=True, frozen=True, gc=False):
    """Tasks, added in the same frame, were created under these keys.

    The oldest keys are forgotten on the way, up to the first one used at ``kept_from_ms`` or later.
    """

    keys: tuple[UsedKey, ...]
    kept_from_ms: int


class Counters(Struct, tag="n", array_like=True, frozen=True, gc=False):
    """What a snapshot must carry besides what is alive, so that numbering goes on and losses can be named."""

    last_seq: int
    last_id: str | None
    ended: int
    """How many tasks had come to an end: they are not in the snapshot, only the catalogue has them."""


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
    | KeysUsed
    | Counters
)

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[list[Event]] = msgspec.msgpack.Decoder(list[Event])


def encode_events(events: Sequence[Event]) -> bytes:
    """One frame's payload; never empty, not even for no events."""
    return _encoder.encode(events)


def decode_events(payload: bytes | memoryview) -> list[Event]:
    """The events of a frame; raises ``msgspec.DecodeError`` if the payload is none."""
    return _decoder.decode(payload)
