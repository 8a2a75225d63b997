"""What a snapshot says: everything that is alive after some segments, as few frames of events."""

from collections.abc import Iterator

from taskd.model.task import Task
from taskd.store.events import Added, Event, FunctionPut, SchedulePut, decode_events, encode_events
from taskd.store.journal.directory import Segment
from taskd.store.journal.replay import Replay
from taskd.store.state import LiveState

CHUNK_TASKS = 512
CHUNK_BYTES = 1 << 20


def snapshot_payloads(sealed: list[Segment]) -> Iterator[bytes]:
    """The payloads of a snapshot that gives the same live state as ``sealed``.

    Runs in a thread beside a busy event loop: it works in short steps and lets go of tasks bit by bit, since
    dropping a million of them at once would hold the interpreter for as long as a slow disk.
    """
    state = LiveState()
    for _, payload in Replay(sealed):
        state.apply_all(decode_events(payload))
    yield encode_events([state.counters(), *_definitions(state)])
    for tasks in _chunks(state):
        yield encode_events([Added(tuple(tasks))])


def _definitions(state: LiveState) -> list[Event]:
    functions: list[Event] = [FunctionPut(function) for function in state.functions.values()]
    return functions + [SchedulePut(schedule) for schedule in state.schedules.values()]


def _chunks(state: LiveState) -> Iterator[list[Task]]:
    chunk: list[Task] = []
    size_bytes = 0
    for task_id in list(state.tasks):
        task = state.tasks.pop(task_id)
        chunk.append(task)
        size_bytes += len(task.data)
        if len(chunk) >= CHUNK_TASKS or size_bytes >= CHUNK_BYTES:
            yield chunk
            chunk, size_bytes = [], 0
    if chunk:
        yield chunk
