"""The SQL that writes many rows at a time.

All values of a statement are bound before it runs, so it runs without the interpreter's lock: a call per row would
need the lock for each row, and beside a busy event loop get through less than a thousand a second. Values that come
in one parameter of JSON must be taken out again, which takes a new row twice as long.

Most tasks have no tags, no error and no links. So there are two forms of each of their statements: a lean one that
names only what every task has, and a full one; and one for new tasks that have tags besides, which costs little more
than the lean one.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple

from taskd.model.task import Task
from taskd.store.embedded.catalogue.rows import (
    CHANGING,
    COLUMNS,
    LEAN_CHANGING,
    LEAN_COLUMNS,
    TAGGED_COLUMNS,
    TAKEN_OVER,
    change,
    lean_change,
    lean_row,
    row,
    tagged_row,
)

ROWS_MAX = 1024
"""Rows of one statement where many wait: each asks for the interpreter's lock, and the event loop is busy then.

So many of the widest kind stay below the 32,766 parameters that SQLite takes.
"""
ROWS_MAX_OF_FEW = 128
"""Rows of one statement where fewer wait: a longer one would keep others from this processor for milliseconds."""
FEW = 4 * ROWS_MAX
"""So many rows at the most."""
CHARS_MAX = 16 << 20
"""Of the long values of one statement, unless it has a single row: bounds the memory that they take twice."""

Row = tuple[Any, ...]
"""Values of columns. Only the last one may be long."""


class Statement(NamedTuple):
    """SQL that takes as many rows as are written out in it."""

    begin: str
    columns: int
    end: str = ""

    def bind(self, rows: Sequence[Row]) -> tuple[str, list[Any]]:
        """The SQL for ``rows``, and its parameters."""
        return _text(self, len(rows)), list(chain.from_iterable(rows))


@lru_cache
def _text(statement: Statement, rows: int) -> str:
    one = f"({', '.join('?' * statement.columns)})"
    return f"{statement.begin} {', '.join([one] * rows)} {statement.end}"


Write = tuple[Statement, list[Row]]


def insert(table: str, columns: Sequence[str], end: str = "") -> Statement:
    """Adds rows with these columns."""
    return Statement(f"INSERT INTO {table} ({', '.join(columns)}) VALUES", len(columns), end)


def parts(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """``rows`` in parts for one statement each: powers of two, so that SQLite has few different ones to prepare."""
    most = ROWS_MAX if len(rows) > FEW else ROWS_MAX_OF_FEW
    begin = 0
    while begin < len(rows):
        count = min(most, 1 << (len(rows) - begin).bit_length() - 1)
        while count > 1 and _chars(rows[begin : begin + count]) > CHARS_MAX:
            count //= 2
        yield rows[begin : begin + count]
        begin += count


def _chars(rows: Sequence[Row]) -> int:
    return sum([len(row[-1]) for row in rows if isinstance(row[-1], str)])


def _upsert(columns: tuple[str, ...], changing: tuple[str, ...] = CHANGING) -> Statement:
    changes = ", ".join(f"{name} = excluded.{name}" for name in changing)
    return insert("tasks", columns, f"ON CONFLICT (seq) DO UPDATE SET {changes}")


def _update(columns: tuple[str, ...]) -> Statement:
    changes = ", ".join(f"{name} = new.column{number}" for number, name in enumerate(columns, 2))
    begin = f"UPDATE tasks SET {changes} FROM (VALUES"
    return Statement(begin, 1 + len(columns), ") AS new WHERE tasks.seq = new.column1")


INSERT_LOGS = insert("logs", ("task_id", "timestamp_ms", "message"))
DELETE_LOGS = Statement("DELETE FROM logs WHERE task_id IN (VALUES", 1, ")")
_LINK_REPLAY = Statement(
    "UPDATE tasks SET extras = json_set(coalesce(extras, '[null,null,0,null]'), '$[3]', new.column2) FROM (VALUES",
    2,
    ") AS new WHERE tasks.id = new.column1 AND ifnull(extras ->> 3, '') < new.column2",
)
_UPSERT, _LEAN_UPSERT, _TAGGED_UPSERT = _upsert(COLUMNS), _upsert(LEAN_COLUMNS), _upsert(TAGGED_COLUMNS)
_UPSERT_WHOLE = _upsert(COLUMNS, TAKEN_OVER)
_UPDATE, _LEAN_UPDATE = _update(CHANGING), _update(LEAN_CHANGING)


def upserts(tasks: Iterable[Task]) -> Iterator[Write]:
    """Writes tasks that may or may not have a row.

    Those with extras may have been changed in more than a transition changes.
    """
    lean, tagged, full, whole = [], [], [], []
    for task in tasks:
        if task.extras is not None:
            whole.append(row(task))
        elif task.error or task.retry_for_task_ids or _has_links(task):
            full.append(row(task))
        elif task.tags:
            tagged.append(tagged_row(task))
        else:
            lean.append(lean_row(task))
    yield _LEAN_UPSERT, lean
    yield _TAGGED_UPSERT, tagged
    yield _UPSERT, full
    yield _UPSERT_WHOLE, whole


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


def replay_links(added: Iterable[Task]) -> Iterator[Write]:
    """Has each task that one of ``added`` is a replay of know the newest of them. Ids ascend."""
    newest = {task.extras.replay_of_task_id: task.id for task in added if task.extras and task.extras.replay_of_task_id}
    if newest:
        yield _LINK_REPLAY, list(newest.items())


def _has_links(task: Task) -> bool:
    created_by = task.created_by_user_id or task.created_by_application_id
    return bool(created_by or task.schedule_id or task.retried_by_task_id)
