"""The event that a task has failed, which taskd itself tells of, and so has no creator."""

import msgspec
from msgspec import Struct

from taskd.model.event import EventDraft
from taskd.model.task import Task, TaskError

TASK_FAILED = "task_failed"

_encode = msgspec.json.Encoder().encode


class _Failure(Struct):
    type: str
    name: str
    message: str


class _FailedTask(Struct, rename="camel"):
    """In camelCase, whatever the event service does elsewhere: so the vendor has it."""

    id: str
    function_name: str
    error: _Failure


def task_failed(task: Task, error: TaskError | None = None) -> EventDraft:
    """``task`` comes to its end with ``error``, or has come to it with its own, and nothing takes its place."""
    error = error or task.error
    assert error is not None, "tasks that failed have an error"
    failure = _Failure(error.type.value, error.name, error.message)
    chain = 0 if task.extras is None else task.extras.event_chain
    return EventDraft(TASK_FAILED, _encode(_FailedTask(task.id, task.function_name, failure)), chain=chain)
