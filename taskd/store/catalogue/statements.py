"""The SQL that writes tasks, many at a time, from one JSON parameter.

Taking a value out of the JSON is what costs most, and most tasks have no tags, no error and no links. So there
are two forms of each statement: a lean one that names only what every task has, and a full one.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from taskd.model.task import Task
from taskd.store.catalogue.rows import (
    CHANGING,
    COLUMNS,
    LEAN_CHANGING,
    LEAN_COLUMNS,
    change,
    lean_change,
    lean_row,
    row,
)

Write = tuple[str, list[tuple[Any, ...]]]
"""A statement with one parameter, and the rows that go into it as JSON."""


def _upsert(columns: tuple[str, ...]) -> str:
    values = ", ".join(f"value ->> {index}" for index in range(len(columns)))
    changes = ", ".join(f"{name} = excluded.{name}" for name in CHANGING)
    return (
        f"INSERT INTO tasks ({', '.join(columns)}) SELECT {values} FROM json_each(?) "
        f"WHERE true ON CONFLICT (seq) DO UPDATE SET {changes}"
    )


def _update(columns: tuple[str, ...]) -> str:
    values = ", ".join(f"value ->> {index} AS {name}" for index, name in enumerate(columns, 1))
    changes = ", ".join(f"{name} = new.{name}" for name in columns)
    return (
        f"UPDATE tasks SET {changes} FROM (SELECT value ->> 0 AS seq, {values} FROM json_each(?)) AS new "
        f"WHERE tasks.seq = new.seq"
    )


_UPSERT, _LEAN_UPSERT = _upsert(COLUMNS), _upsert(LEAN_COLUMNS)
_UPDATE, _LEAN_UPDATE = _update(CHANGING), _update(LEAN_CHANGING)


def upserts(tasks: Iterable[Task]) -> Iterator[Write]:
    """Writes tasks that may or may not have a row."""
    lean, full = [], []
    for task in tasks:
        if task.tags or task.error or task.retry_for_task_ids or _has_links(task):
            full.append(row(task))
        else:
            lean.append(lean_row(task))
    yield _LEAN_UPSERT, lean
    yield _UPSERT, full


def updates(tasks: Iterable[Task]) -> Iterator[Write]:
    """Writes what a transition changed of tasks that have a row."""
    lean, full = [], []
    for task in tasks:
        if task.error or task.retried_by_task_id:
            full.append(change(task))
        else:
            lean.append(lean_change(task))
    yield _LEAN_UPDATE, lean
    yield _UPDATE, full


def _has_links(task: Task) -> bool:
    created_by = task.created_by_user_id or task.created_by_application_id
    return bool(created_by or task.schedule_id or task.retried_by_task_id)
