"""Indexes on what is inside of JSON: on tags always, and on the fields of ``data`` that the configuration names.

A row of ``task_values`` for each scalar that a field of a task leads to. The rows lead to every task that satisfies a
condition and to few others; whoever goes by them still tests the condition itself. Stands in where values cannot be
kept as they are: ``LOOK``. What is there when an index is asked for is indexed bit by bit, by the thread that writes.
"""

import json
import logging
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from taskd.model.task import Task
from taskd.rql.evaluate import values_at
from taskd.rql.query import Path
from taskd.rql.scalars import comparable, is_number
from taskd.store.embedded.catalogue.sql.user_functions import decode_document
from taskd.store.embedded.catalogue.statements import Row, Statement

log = logging.getLogger(__name__)

TAGS: Path = ("tags",)
LOOK = b""
"""In the place of a value that is too long, or no text that can be kept: such a task is looked at itself."""
_TEXT_MAX_CHARS = 256
"""No less than a tag may have."""
_STEP_ROWS = 1000
"""Tasks that are indexed, or values that are removed, in one transaction: some milliseconds."""
_STEP_CHARS = 1 << 20
"""Of the JSON of tasks that are indexed in one, the last of them apart: bounds the memory that it takes."""

CREATE = """
CREATE TABLE value_fields (
    field INTEGER PRIMARY KEY AUTOINCREMENT,
    path TEXT NOT NULL,               -- JSON array of its steps
    wanted INTEGER NOT NULL DEFAULT 1,
    indexed_seq INTEGER NOT NULL      -- tasks up to this one are indexed, and those since the start; -1: all are
);
CREATE TABLE task_values (
    field INTEGER NOT NULL,
    value NOT NULL,                   -- a number, a text, or an empty blob where the task has to be looked at
    seq INTEGER NOT NULL,
    PRIMARY KEY (field, value, seq)
) WITHOUT ROWID;
"""
"""The tables, empty."""
INSERT = Statement("INSERT OR IGNORE INTO task_values (field, value, seq) VALUES", 3)
_DELETE = "DELETE FROM task_values WHERE field = ? AND value = ? AND seq = ?"
_ALL = -1


class ValueIndexes:
    """The indexes of one catalogue; for the thread that writes it, but for :attr:`usable` and :attr:`progress`."""

    def __init__(self, connection: sqlite3.Connection, paths: Iterable[Path]) -> None:
        """Has these ``paths`` indexed from now on, besides the tags, and no others."""
        self._connection = connection
        self._fields = self._settle({TAGS, *paths})
        self._last_seq: int = connection.execute("SELECT ifnull(max(seq), 0) FROM tasks").fetchone()[0]
        self._share = 0.0
        self.usable: Mapping[Path, int] = self._complete()
        """The fields whose index leads to everything, with their numbers; replaced as a whole."""

    def _settle(self, paths: set[Path]) -> dict[Path, int]:
        wanted = self._rows("SELECT field, path FROM value_fields WHERE wanted")
        known = {_path_of(text): field for field, text in wanted}
        if known.keys() != paths:  # or nothing is written: there may be no room for it now
            with _transaction(self._connection):
                for path in known.keys() - paths:
                    self._connection.execute("UPDATE value_fields SET wanted = 0 WHERE field = ?", (known[path],))
                for path in sorted(paths - known.keys()):
                    known[path] = self._new_field(path)
        return {path: known[path] for path in sorted(paths)}

    def _new_field(self, path: Path) -> int:
        insert = "INSERT INTO value_fields (path, indexed_seq) VALUES (?, 0) RETURNING field"
        [(field,)] = self._rows(insert, json.dumps(path))
        return int(field)

    def rows_of(self, tasks: Iterable[Task]) -> list[Row]:
        """What ``task_values`` says of new tasks."""
        only_tags = len(self._fields) == 1
        return [
            (field, value, task.seq)
            for task in tasks
            if task.tags or not only_tags  # nearly always neither
            for path, field in self._fields.items()
            for value in _values(task.tags, task.data, path)
        ]

    def forget_values_of(self, seqs: Iterable[int]) -> None:
        """Takes out what is said of the data that these tasks have until now, if they are there: it may change."""
        paths = [(path, field) for path, field in self._fields.items() if path != TAGS]
        for seq in seqs if paths else ():
            for [data] in self._rows("SELECT data FROM tasks WHERE seq = ?", seq):
                gone = [(field, value, seq) for path, field in paths for value in _values_in(data, path)]
                self._connection.executemany(_DELETE, gone)

    def values_of(self, seqs: Sequence[int]) -> Iterator[Row]:
        """The rows of ``task_values`` that tasks in the catalogue may have, in indexes no longer wanted, too."""
        fields = {_path_of(text): field for field, text in self._rows("SELECT field, path FROM value_fields")}
        column = "NULL" if fields.keys() == {TAGS} else "data"
        some = f"SELECT seq, tags, {column} FROM tasks WHERE seq IN ({', '.join('?' * len(seqs))})"
        for seq, tags, data in self._connection.execute(some, seqs):
            for path, field in fields.items():
                text = tags if path == TAGS else data
                yield from ((field, value, seq) for value in (_values_in(text, path) if text else ()))

    @property
    def progress(self) -> str | None:
        """Which fields are not indexed yet, and how far that is, for people; ``None`` when all are."""
        behind = sorted(self._fields.keys() - self.usable.keys())
        return None if not behind else f"{', '.join(map('.'.join, behind))} ({self._share:.0%} of the tasks done)"

    def step(self) -> bool:
        """Does a bit of what there is to do; ``False`` if that was nothing."""
        for path, field in self._fields.items():
            if path not in self.usable:
                self._index_some(path, field)
                return True
        return self._remove_some()

    def _index_some(self, path: Path, field: int) -> None:
        [(indexed_seq,)] = self._rows("SELECT indexed_seq FROM value_fields WHERE field = ?", field)
        tasks = self._next_tasks("tags" if path == TAGS else "data", indexed_seq)
        values = [(field, value, seq) for seq, text in tasks if text for value in _values_in(text, path)]
        reached = tasks[-1][0] if tasks and tasks[-1][0] < self._last_seq else _ALL
        with _transaction(self._connection):
            self._connection.executemany(f"{INSERT.begin} (?, ?, ?)", values)
            self._connection.execute("UPDATE value_fields SET indexed_seq = ? WHERE field = ?", (reached, field))
        self._share = 0.0 if reached == _ALL else reached / self._last_seq
        if reached == _ALL:
            self.usable = self._complete()
            if self._last_seq:
                log.info("The tasks are indexed by %s.", ".".join(path))

    def _next_tasks(self, column: str, after_seq: int) -> list[tuple[int, str | None]]:
        """As many as are indexed in one step, with the JSON in ``column``, which may be long."""
        some = f"SELECT seq, {column} FROM tasks WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT {_STEP_ROWS}"
        tasks, chars = [], 0
        for seq, text in self._connection.execute(some, (after_seq, self._last_seq)):
            tasks.append((seq, text))
            chars += len(text or "")
            if chars > _STEP_CHARS:
                break
        return tasks

    def _remove_some(self) -> bool:
        unwanted = self._rows("SELECT field FROM value_fields WHERE NOT wanted LIMIT 1")
        if not unwanted:
            return False
        some = "SELECT value, seq FROM task_values WHERE field = ?1 LIMIT ?2"
        with _transaction(self._connection):
            gone = self._connection.execute(
                f"DELETE FROM task_values WHERE field = ?1 AND (value, seq) IN ({some})", (*unwanted[0], _STEP_ROWS)
            )
            if gone.rowcount < _STEP_ROWS:
                self._connection.execute("DELETE FROM value_fields WHERE field = ?", unwanted[0])
        return True

    def _complete(self) -> Mapping[Path, int]:
        complete = {field for (field,) in self._rows("SELECT field FROM value_fields WHERE indexed_seq = ?", _ALL)}
        return {path: field for path, field in self._fields.items() if field in complete}

    def _rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, parameters).fetchall()


def _path_of(text: str) -> Path:
    return tuple(json.loads(text))


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _values(tags: Sequence[str], data: bytes, path: Path) -> Iterator[Any]:
    if path == TAGS:
        yield from map(_kept, tags)
    else:
        yield from _values_in(data, path)


def _values_in(text: str | bytes, path: Path) -> Iterator[Any]:
    """The scalars in a column of JSON that ``path`` leads to and that conditions can be on."""
    for found in values_at([decode_document(text)], path[1:]):
        for value in found if isinstance(found, list) else (found,):
            if isinstance(value, str) or is_number(value):
                yield _kept(value)


def _kept(value: Any) -> Any:
    if not isinstance(value, str):
        return comparable(value)
    is_plain = len(value) <= _TEXT_MAX_CHARS and "\0" not in value and not _has_surrogates(value)
    return value if is_plain else LOOK


def _has_surrogates(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)
