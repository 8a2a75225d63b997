"""Deleting from the catalogue for good: tasks with what indexes and log lines say of them, API requests, log lines.

For the thread that writes, within its transaction. The counts are kept by triggers.
"""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from typing import TypeVar

from msgspec import Struct

from taskd.model.status import FINAL
from taskd.store.embedded.catalogue.links import Link, end_links
from taskd.store.embedded.catalogue.value_indexes import ValueIndexes
from taskd.system.os_limits import attempt

T = TypeVar("T")

_AT_ONCE = 64
"""Tasks of one statement: some milliseconds, unless their data is long."""
_FINAL = ", ".join(f"'{status.value}'" for status in FINAL)


class Removal(Struct):
    """What is to be gone, by the numbers of the rows."""

    tasks: list[int] = []
    """Of those only that have ended."""
    api_requests: list[int] = []
    logs: list[int] = []
    links: list[Link] = []
    events: list[int] = []

    def __len__(self) -> int:
        return len(self.tasks) + len(self.api_requests) + len(self.logs) + len(self.links) + len(self.events)

    def add(self, other: "Removal") -> None:
        """Has that be gone, too."""
        self.tasks += other.tasks
        self.api_requests += other.api_requests
        self.logs += other.logs
        self.links += other.links
        self.events += other.events


def remove(connection: sqlite3.Connection, removal: Removal, indexes: ValueIndexes) -> None:
    """Removes all of that, as far as it is there."""
    end_links(connection, removal.links)
    _delete_tasks(connection, removal.tasks, indexes)
    for some in _some(removal.api_requests):
        _delete_with_logs(connection, "api_requests", some)
    for some in _some(removal.events):
        connection.execute(f"DELETE FROM events WHERE seq IN ({_places(some)})", some)
    for some in _some(removal.logs):
        connection.execute(f"DELETE FROM logs WHERE seq IN ({_places(some)})", some)


def _delete_tasks(connection: sqlite3.Connection, seqs: Sequence[int], indexes: ValueIndexes) -> None:
    for some in _some(seqs):
        indexes.forget(some)
        _delete_with_logs(connection, "tasks", some)


def _delete_with_logs(connection: sqlite3.Connection, table: str, seqs: Sequence[int]) -> None:
    numbers = _places(seqs)
    connection.execute(f"DELETE FROM logs WHERE task_id IN (SELECT id FROM {table} WHERE seq IN ({numbers}))", seqs)
    connection.execute(f"DELETE FROM {table} WHERE seq IN ({numbers})", seqs)
    attempt("yield the processor", os.sched_yield)


def drop_orphans(connection: sqlite3.Connection, ids: Sequence[str]) -> None:
    """Removes log lines for these ids that came when their task or API request was already gone."""
    for some in _some(ids):
        known = "SELECT 1 FROM {} WHERE id = logs.task_id"
        connection.execute(
            f"DELETE FROM logs WHERE task_id IN ({_places(some)})"
            f" AND NOT EXISTS ({known.format('tasks')}) AND NOT EXISTS ({known.format('api_requests')})",
            some,
        )


def ended_seqs(connection: sqlite3.Connection, ids: Sequence[str]) -> list[int]:
    """The numbers of those tasks with these ids that have ended."""
    return [
        seq
        for some in _some(ids)
        for (seq,) in connection.execute(
            f"SELECT seq FROM tasks WHERE id IN ({_places(some)}) AND status IN ({_FINAL})", some
        )
    ]


def ended_of(connection: sqlite3.Connection, seqs: Sequence[int]) -> list[int]:
    """The numbers of those of these tasks that have ended."""
    return [
        seq
        for some in _some(seqs)
        for (seq,) in connection.execute(
            f"SELECT seq FROM tasks WHERE seq IN ({_places(some)}) AND status IN ({_FINAL})", some
        )
    ]


def known(connection: sqlite3.Connection, ids: Sequence[str]) -> list[str]:
    """Those of these ids that tasks have."""
    return [
        task_id
        for some in _some(ids)
        for (task_id,) in connection.execute(f"SELECT id FROM tasks WHERE id IN ({_places(some)})", some)
    ]


def _some(each: Sequence[T]) -> Iterator[Sequence[T]]:
    for begin in range(0, len(each), _AT_ONCE):
        yield each[begin : begin + _AT_ONCE]


def _places(each: Sequence[object]) -> str:
    return ", ".join("?" * len(each))
