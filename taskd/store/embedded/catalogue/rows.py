"""Tasks as rows, and rows as tasks."""

import sqlite3
from typing import Any

import msgspec

from taskd.model.status import Status
from taskd.model.task import Task, TaskError
from taskd.model.task_extras import TaskExtras

COLUMNS = (
    "seq",
    "id",
    "status",
    "function_name",
    "start_ms",
    "priority",
    "creation_ms",
    "status_changed_ms",
    "tags",
    "created_by_user_id",
    "created_by_application_id",
    "retried_by_task_id",
    "schedule_id",
    "retry_for_task_ids",
    "error",
    "extras",
    "data",
)
CHANGING = ("status", "status_changed_ms", "error", "retried_by_task_id")
"""The columns that a transition can change."""
TAKEN_OVER = (
    *("status", "status_changed_ms", "start_ms", "priority", "created_by_user_id", "created_by_application_id"),
    *("error", "retried_by_task_id", "extras", "data"),
)
"""The columns of a task with extras that may have changed since it was added."""
LEAN_COLUMNS = (*COLUMNS[:8], "data")
"""The columns that no task leaves empty."""
TAGGED_COLUMNS = (*LEAN_COLUMNS[:-1], "tags", "data")
"""Those, and the tags."""
LEAN_CHANGING = CHANGING[:2]
"""The columns that every transition changes."""


class _ErrorObject(msgspec.Struct):
    """An error the way queries see it: an object, not the journal's array."""

    type: str
    name: str
    message: str


_encode = msgspec.json.Encoder().encode
_decode_strings = msgspec.json.Decoder(tuple[str, ...]).decode
_decode_extras = msgspec.json.Decoder(TaskExtras).decode
_decode_error = msgspec.json.Decoder(_ErrorObject).decode


def row(task: Task) -> tuple[Any, ...]:
    """All columns, in the order of ``COLUMNS``."""
    *always, data = lean_row(task)
    return (
        *always,
        _strings(task.tags),
        task.created_by_user_id,
        task.created_by_application_id,
        task.retried_by_task_id,
        task.schedule_id,
        _strings(task.retry_for_task_ids),
        _error(task.error),
        _extras(task.extras),
        data,
    )


def lean_row(task: Task) -> tuple[Any, ...]:
    """The columns of ``LEAN_COLUMNS``."""
    return (
        task.seq,
        task.id,
        task.status.value,
        task.function_name,
        task.start_ms,
        task.priority,
        task.creation_ms,
        task.status_changed_ms,
        task.data.decode(),
    )


def tagged_row(task: Task) -> tuple[Any, ...]:
    """The columns of ``TAGGED_COLUMNS``."""
    *always, data = lean_row(task)
    return (*always, _strings(task.tags), data)


def lean_change(task: Task) -> tuple[Any, ...]:
    """``seq``, then the columns of ``LEAN_CHANGING``."""
    return task.seq, task.status.value, task.status_changed_ms


def change(task: Task) -> tuple[Any, ...]:
    """``seq``, then the columns of ``CHANGING``."""
    return task.seq, task.status.value, task.status_changed_ms, _error(task.error), task.retried_by_task_id


def task_of(columns: sqlite3.Row | tuple[Any, ...]) -> Task:
    """The task of a row with all columns. What matters only before its end is not kept here."""
    (seq, task_id, status, function_name, start_ms, priority, creation_ms, status_changed_ms, tags) = columns[:9]
    (user_id, application_id, retried_by, schedule_id, retry_for, error, extras, data) = columns[9:]
    return Task(
        id=task_id,
        seq=seq,
        function_name=function_name,
        data=b"" if isinstance(data, int) else data.encode(),  # a number is the length of data that is apart
        start_ms=start_ms,
        priority=priority,
        creation_ms=creation_ms,
        status=Status(status),
        status_changed_ms=status_changed_ms,
        tags=_decode_strings(tags) if tags else (),
        created_by_user_id=user_id,
        created_by_application_id=application_id,
        retry_for_task_ids=_decode_strings(retry_for) if retry_for else (),
        schedule_id=schedule_id,
        error=_error_of(error),
        extras=_decode_extras(extras) if extras else None,
        retried_by_task_id=retried_by,
    )


def _strings(values: tuple[str, ...]) -> str | None:
    return _encode(values).decode() if values else None


def _extras(extras: TaskExtras | None) -> str | None:
    return None if extras is None else _encode(extras).decode()


def _error(error: TaskError | None) -> str | None:
    if error is None:
        return None
    return _encode(_ErrorObject(error.type.value, error.name, error.message)).decode()


def _error_of(text: str | None) -> TaskError | None:
    if text is None:
        return None
    parts = _decode_error(text)
    return msgspec.convert([parts.type, parts.name, parts.message], TaskError)
