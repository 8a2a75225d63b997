"""The questions that are asked of the catalogue, each a function of a read-only connection."""

import sqlite3
from collections.abc import Iterable, Sequence

from taskd.model import limits
from taskd.model.logline import LogLine
from taskd.model.status import FINAL, Status
from taskd.model.task import Task
from taskd.rql.query import Query
from taskd.store.embedded.catalogue.counts import TASK_COUNTS
from taskd.store.embedded.catalogue.listing import Listing
from taskd.store.embedded.catalogue.rows import COLUMNS, task_of
from taskd.store.embedded.catalogue.sql.fields import TASKS
from taskd.store.embedded.catalogue.sql.lookups import IndexedValues
from taskd.store.embedded.catalogue.sql.planning import Table

_SELECT_TASKS = f"SELECT {', '.join(COLUMNS)} FROM tasks"
assert COLUMNS[-1] == "data"
_SELECT_DATALESS = f"SELECT {', '.join(COLUMNS[:-1])} FROM tasks"
_TABLE = Table("tasks", COLUMNS, TASKS, small_sql="length(data) <= 65536", counts=TASK_COUNTS)


def tasks(query: Query, index: IndexedValues | None = None, apart_from_bytes: int | None = None) -> Listing[Task]:
    """A page of tasks. A query that makes no sense raises ``INVALID_RQL`` here, before any connection is taken.

    ``index`` is on values inside of JSON. Data from ``apart_from_bytes`` on is
    left out of the page.
    """
    table = _TABLE if apart_from_bytes is None else _TABLE.with_apart("data", apart_from_bytes)
    return Listing(query, table, task_of, index)


def task_data(connection: sqlite3.Connection, task_id: str, begin: int, size_bytes: int) -> bytes | None:
    """A part of the data of this task, if there is one. No more of it than that is ever in memory."""
    row = connection.execute("SELECT seq FROM tasks WHERE id = ?", (task_id,)).fetchone()
    if row is None:
        return None
    with connection.blobopen("tasks", "data", row[0], readonly=True) as data:
        data.seek(min(begin, len(data)))
        return data.read(size_bytes)


def pending_tasks(connection: sqlite3.Connection) -> list[Task]:
    """Every task that has not come to an end, without its data, which may be more than memory."""
    pending = [status.value for status in Status if status not in FINAL]
    places = ", ".join("?" * len(pending))
    rows = connection.execute(f"{_SELECT_DATALESS} WHERE status IN ({places})", pending)
    return [task_of((*row, "")) for row in rows]


def data_of_tasks(connection: sqlite3.Connection, seqs: Sequence[int]) -> dict[int, bytes]:
    """The data of the tasks with these numbers, as far as they are there; a thousand of them at most."""
    places = ", ".join("?" * len(seqs))
    rows = connection.execute(f"SELECT seq, data FROM tasks WHERE seq IN ({places})", seqs)
    return {seq: data.encode() for seq, data in rows}


def task_by_id(connection: sqlite3.Connection, task_id: str) -> Task | None:
    """The task of this id, if there is one."""
    row = connection.execute(f"{_SELECT_TASKS} WHERE id = ?", (task_id,)).fetchone()
    return None if row is None else task_of(row)


def failed_tasks(connection: sqlite3.Connection, ids: Sequence[str]) -> dict[str, Task]:
    """Those of these tasks that have an error, without their data; a thousand of them at most."""
    places = ", ".join("?" * len(ids))
    rows = connection.execute(f"{_SELECT_DATALESS} WHERE id IN ({places}) AND error IS NOT NULL", ids)
    return {task.id: task for task in (task_of((*row, "")) for row in rows)}


def tasks_numbered(connection: sqlite3.Connection, first_seq: int, count: int) -> list[Task]:
    """The tasks numbered from ``first_seq`` on, as far as they are there."""
    window = (first_seq, first_seq + count - 1)
    rows = connection.execute(f"{_SELECT_TASKS} WHERE seq BETWEEN ? AND ? ORDER BY seq", window)
    return [task_of(row) for row in rows]


def log_lines(connection: sqlite3.Connection, task_id: str, since_ms: int, offset: int, limit: int) -> list[LogLine]:
    """Lines of a task from ``since_ms`` on, in the order they were printed."""
    rows = connection.execute(
        "SELECT timestamp_ms, message FROM logs WHERE task_id = ? AND timestamp_ms >= ? ORDER BY seq LIMIT ? OFFSET ?",
        (task_id, since_ms, limit, offset),
    )
    return _lines(rows)


def function_log_lines(
    function_name: str, window: tuple[int, int, int, int], connection: sqlite3.Connection
) -> list[LogLine]:
    """Lines of every task and API request of a function, oldest first.

    ``window``: from and to (both included), offset, limit.
    """
    since_ms, until_ms, offset, limit = window
    rows = connection.execute(
        "SELECT logs.timestamp_ms, message FROM ("
        "SELECT id FROM tasks WHERE function_name = ? UNION ALL SELECT id FROM api_requests WHERE function_name = ?"
        ") AS calls CROSS JOIN logs ON logs.task_id = calls.id"
        " WHERE logs.timestamp_ms BETWEEN ? AND ? ORDER BY logs.timestamp_ms, logs.seq LIMIT ? OFFSET ?",
        (function_name, function_name, since_ms, until_ms, limit, offset),
    )
    return _lines(rows)


def _lines(rows: Iterable[tuple[int, str]]) -> list[LogLine]:
    """The lines of ``rows``, up to the one with which they are as long together as they may be."""
    lines: list[LogLine] = []
    left_bytes = limits.LOG_PAGE_MAX_BYTES
    for timestamp_ms, message in rows:
        lines.append(LogLine(timestamp_ms, message))
        left_bytes -= len(message.encode())
        if left_bytes <= 0:
            break
    return lines
