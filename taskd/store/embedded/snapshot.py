"""What a snapshot says: everything that is alive after some segments, as few frames of events."""

from collections.abc import Iterator
from itertools import chain, islice
from typing import TypeVar

from taskd.model.schedule import Schedule
from taskd.model.task import Task
from taskd.store.embedded.event_state import EventState
from taskd.store.embedded.events import (
    Added,
    AllPaused,
    DispatcherPut,
    Event,
    FunctionPut,
    KeysUsed,
    OperationPut,
    Owed,
    RulesUsed,
    SchedulePut,
    SubscriptionPut,
    UniqueKeysKept,
    data_in,
    decode_events,
    encode_events,
)
from taskd.store.embedded.gil_pacing import GilPacer
from taskd.store.embedded.journal.directory import Segment
from taskd.store.embedded.journal.replay import Replay
from taskd.store.embedded.state import LiveState
from taskd.store.embedded.stored_data import stored_data, with_data
from taskd.store.embedded.webhook_snapshot import webhook_payloads

CHUNK_RECORDS = 512
CHUNK_BYTES = 1 << 20
EVERY_KEY_KEPT = 0
"""The moment of which on used keys are kept: a snapshot itself forgets none."""

R = TypeVar("R", Task, Schedule)


def snapshot_payloads(sealed: list[Segment]) -> Iterator[bytes]:
    """The payloads of a snapshot that gives the same live state as ``sealed``.

    Runs in a thread beside a busy event loop: it works in short steps and lets go of tasks bit by bit, since
    dropping a million of them at once would hold the interpreter for as long as a slow disk.
    """
    pace = GilPacer()
    for payload in _payloads(sealed, pace):
        yield payload
        pace()


def _payloads(sealed: list[Segment], pace: GilPacer) -> Iterator[bytes]:
    state = LiveState()
    for _, payload in Replay(sealed):
        state.apply_all(decode_events(payload))
        pace()
    for part in chain(_rules(state), _event_state(state.events)):
        yield encode_events(part)
    yield from webhook_payloads(state.webhooks)
    large: dict[int, Task] = {}
    for tasks in _chunks(_small_tasks(state, large)):
        yield encode_events([Added(tuple(tasks))])
    for tasks in _chunks(_large_tasks(sealed, large, pace)):
        yield encode_events([Added(tuple(tasks))])
    for part in _keys(state):
        yield encode_events(part)


def _rules(state: LiveState) -> Iterator[list[Event]]:
    yield [state.counters(), *(FunctionPut(function) for function in state.functions.values())]
    if state.pause is not None:
        yield [AllPaused(state.pause)]
    for schedules in _chunks(_take_all(state.schedules)):
        yield [SchedulePut(schedule) for schedule in schedules]
    for operation in state.operations.values():  # few; each may have some 80 KiB
        yield [OperationPut(operation)]


def _keys(state: LiveState) -> Iterator[list[Event]]:
    kept = state.unique.take_kept()
    while unique_keys := tuple(islice(kept, CHUNK_RECORDS)):
        yield [UniqueKeysKept(unique_keys)]
    for used in _rules_used(state):
        yield [used]
    while state.used_keys:
        keys = [state.used_keys.popitem(last=False)[1] for _ in range(min(CHUNK_RECORDS, len(state.used_keys)))]
        yield [KeysUsed(tuple(keys), EVERY_KEY_KEPT)]


def _event_state(state: EventState) -> Iterator[list[Event]]:
    for dispatcher in state.dispatchers.values():  # one with much data is as long as hundreds of tasks
        yield [DispatcherPut(dispatcher)]
    if state.subscriptions:
        yield [SubscriptionPut(subscription) for subscription in state.subscriptions.values()]
    owed = tuple(state.owed)
    for begin in range(0, len(owed), CHUNK_RECORDS):
        yield [Owed(owed[begin : begin + CHUNK_RECORDS])]


def _rules_used(state: LiveState) -> Iterator[RulesUsed]:
    """What functions use up of their start rules, some of it at a time."""
    for name, usage in state.usages.by_function.items():
        places, arrivals = iter(usage.places.values()), iter(usage.arrivals_ns.items())
        while True:
            used = RulesUsed(name, tuple(islice(places, CHUNK_RECORDS)), tuple(islice(arrivals, CHUNK_RECORDS)))
            if not used.places and not used.arrivals_ns:
                break
            yield used


def _small_tasks(state: LiveState, large: dict[int, Task]) -> Iterator[Task]:
    """The tasks whose data is in memory; the others go to ``large``."""
    for task in state.tasks.take_all():
        if stored_data(task) is None:
            yield task
        else:
            large[task.seq] = task


def _large_tasks(sealed: list[Segment], large: dict[int, Task], pace: GilPacer) -> Iterator[Task]:
    """The tasks in ``large``, with the data that they have now: reads everything again, if there are any."""
    frames = iter(Replay(sealed))
    while large:
        _, payload = next(frames)
        pace()
        for event in decode_events(payload):
            for seq, data in data_in(event):
                task = large.get(seq)
                if task is not None and (stored := stored_data(task)) is not None and stored.is_of(data):
                    yield with_data(large.pop(seq), data)


def _take_all(schedules: dict[str, Schedule]) -> Iterator[Schedule]:
    for schedule_id in list(schedules):
        yield schedules.pop(schedule_id)


def _chunks(records: Iterator[R]) -> Iterator[list[R]]:
    chunk: list[R] = []
    size_bytes = 0
    for record in records:
        chunk.append(record)
        size_bytes += len(record.data)
        if len(chunk) >= CHUNK_RECORDS or size_bytes >= CHUNK_BYTES:
            yield chunk
            chunk, size_bytes = [], 0
    if chunk:
        yield chunk
