"""What is over for longer than it is kept, looked for window by window along an index, oldest first.

Each is a function of a read-only connection. Whoever goes on from the end of one window to the next has seen all.
"""

import sqlite3
from collections.abc import Callable
from typing import NamedTuple

from taskd.model.retention import STATUS_OF_KIND, Cutoffs
from taskd.store.embedded.catalogue.deletion import Removal

ROWS = 200
"""Rows of a window: half a millisecond to look at, three or more to remove, in which listings wait."""
_DATA_MAX_BYTES = 8 << 20
"""Of the data of tasks that are removed at once, but for the last of them."""

Cursor = tuple[int, int]
BEGIN: Cursor = (-(2**63), -1)


class Window(NamedTuple):
    """What of a window is to go, and where the next one begins; ``None`` if there is nothing more to look at."""

    removal: Removal
    end: Cursor | None


_TASKS = """
    SELECT creation_ms, seq, function_name, status_changed_ms FROM tasks INDEXED BY tasks_status
    WHERE status = ? AND (creation_ms, seq) > (?, ?) AND creation_ms <= ? ORDER BY creation_ms, seq LIMIT ?
"""
_API_REQUESTS = """
    SELECT seq, function_name, timestamp_ms FROM api_requests WHERE seq > ? ORDER BY seq LIMIT ?
"""
_LOGS = """
    SELECT logs.seq, coalesce(tasks.function_name, api_requests.function_name, ''), logs.timestamp_ms FROM logs
    LEFT JOIN tasks ON tasks.id = logs.task_id LEFT JOIN api_requests ON api_requests.id = logs.task_id
    WHERE logs.seq > ? ORDER BY logs.seq LIMIT ?
"""


def window(connection: sqlite3.Connection, kind: str, cutoffs: Cutoffs, cursor: Cursor) -> Window:
    """The window from ``cursor`` on of what is of this kind, one of ``KINDS``."""
    if kind in STATUS_OF_KIND:
        return _ended_tasks(connection, STATUS_OF_KIND[kind].value, cutoffs, cursor)
    if kind == "api_requests_ms":
        return _numbered(connection, _API_REQUESTS, cutoffs, cursor, lambda seqs: Removal(api_requests=seqs))
    return _numbered(connection, _LOGS, cutoffs, cursor, lambda seqs: Removal(logs=seqs))


def _ended_tasks(connection: sqlite3.Connection, status: str, cutoffs: Cutoffs, cursor: Cursor) -> Window:
    rows = connection.execute(_TASKS, (status, *cursor, cutoffs.latest_ms, ROWS)).fetchall()
    removal = Removal()
    size_bytes = 0
    for creation_ms, seq, function_name, ended_ms in rows:
        if ended_ms <= cutoffs.of(function_name):
            removal.tasks.append(seq)
            with connection.blobopen("tasks", "data", seq, readonly=True) as data:
                size_bytes += len(data)
            if size_bytes > _DATA_MAX_BYTES:
                return Window(removal, (creation_ms, seq))
    return Window(removal, rows[-1][:2] if len(rows) == ROWS else None)


def _numbered(
    connection: sqlite3.Connection, sql: str, cutoffs: Cutoffs, cursor: Cursor, removal: Callable[[list[int]], Removal]
) -> Window:
    """By number, which is the order of time but for clocks that are set: ends with a window in which all is young."""
    rows = connection.execute(sql, (cursor[1], ROWS)).fetchall()
    expired = [seq for seq, function_name, at_ms in rows if at_ms <= cutoffs.of(function_name)]
    is_last = len(rows) < ROWS or all(at_ms > cutoffs.latest_ms for _, _, at_ms in rows)
    return Window(removal(expired), None if is_last else (0, rows[-1][0]))
