"""Indexes on what is inside of JSON: on tags always, and on the fields of ``data`` that the configuration names.

They lead to every task that satisfies a condition and to few others; whoever goes by them still tests the condition
itself. The values of the newest tasks are in memory; when these are many they are written as runs, a run for each
field. What is there when an index is asked for is indexed bit by bit, by the thread that writes; and so is what was
in memory when the process before died.
"""

import json
import logging
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any

from taskd.model.task import Task
from taskd.rql.query import Path
from taskd.store.embedded.catalogue import value_runs
from taskd.store.embedded.catalogue.recent_values import Found, RecentValues
from taskd.store.embedded.catalogue.scalar_values import TAGS, Extractor, values_in
from taskd.store.embedded.catalogue.sql.lookups import Bound, FoundRecently

log = logging.getLogger(__name__)

RUN_TASKS = 8192
"""Tasks with values whose values are written at once; a million tasks are some hundred runs."""
_RUN_CHARS = 32 << 20
"""Of the data of tasks whose values are in memory: what has to be read again after a crash."""
_STEP_ROWS = 1000
"""Tasks that are indexed in one transaction: some milliseconds."""
_STEP_CHARS = 1 << 20
"""Of the JSON of tasks that are indexed in one, the last of them apart: bounds the memory that it takes."""
_SET_RECENT_SEQ = "UPDATE meta SET value = ? WHERE name = 'recent_seq'"
_ALL = -1
_NONE = -1

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
"""The tables of the first form, empty."""
TO_RUNS = f"""
DROP TABLE task_values;
UPDATE value_fields SET indexed_seq = 0;
{value_runs.CREATE}
INSERT INTO meta VALUES ('recent_seq', -1);
"""
"""From the first form, whose values stood one by one, to runs; all is indexed again."""


class ValueIndexes:
    """The indexes of one catalogue; for the thread that writes it, but for what says otherwise."""

    def __init__(self, connection: sqlite3.Connection, paths: Iterable[Path]) -> None:
        """Has these ``paths`` indexed from now on, besides the tags, and no others."""
        self._connection = connection
        self._lock = Lock()
        self._fields = self._settle({TAGS, *paths})
        self._extractor = Extractor(self._fields)
        self._last_seq: int = connection.execute("SELECT ifnull(max(seq), 0) FROM tasks").fetchone()[0]
        self._recent, self._next_run = RecentValues(), value_runs.next_run(connection)
        self._noted: list[Found] = []
        self._noted_of = (0, 0)
        self._run_behind, self._written = self._next_run, False
        self._old, self._old_reached, self._share = RecentValues(), _NONE, 0.0
        self.usable: Mapping[Path, int] = self._complete()
        """The fields whose index leads to everything, with their numbers; replaced as a whole. For any thread."""

    def _settle(self, paths: set[Path]) -> dict[Path, int]:
        wanted = self._rows("SELECT field, path FROM value_fields WHERE wanted")
        known = {_path_of(text): field for field, text in wanted}
        [(recent_seq,)] = self._rows("SELECT value FROM meta WHERE name = 'recent_seq'")
        if known.keys() != paths or recent_seq != _NONE:  # or nothing is written: there may be no room for it now
            with _transaction(self._connection):
                self._index_again_from(recent_seq)
                for path in known.keys() - paths:
                    self._connection.execute("UPDATE value_fields SET wanted = 0 WHERE field = ?", (known[path],))
                for path in sorted(paths - known.keys()):
                    known[path] = self._new_field(path)
        return {path: known[path] for path in sorted(paths)}

    def _index_again_from(self, recent_seq: int) -> None:
        """Has the tasks whose values were in memory when the process before died indexed again."""
        if recent_seq != _NONE:
            value_runs.remove_runs_from(self._connection, recent_seq)
            change = "UPDATE value_fields SET indexed_seq = ?1 WHERE indexed_seq = ?2 OR indexed_seq > ?1"
            self._connection.execute(change, (recent_seq - 1, _ALL))
            self._connection.execute(_SET_RECENT_SEQ, (_NONE,))

    def _new_field(self, path: Path) -> int:
        insert = "INSERT INTO value_fields (path, indexed_seq) VALUES (?, 0) RETURNING field"
        [(field,)] = self._rows(insert, json.dumps(path))
        return int(field)

    def note(self, tasks: Sequence[Task]) -> None:
        """Takes in the values of new tasks, within the transaction that writes these.

        They are found when that is committed and :meth:`keep_noted` is called; else they have to be noted again.
        """
        self._noted, self._noted_of, self._written = [], (0, 0), False
        self._run_behind = self._next_run
        for begin in range(0, len(tasks), RUN_TASKS):  # once, but where very many wait: these are written at once
            if self._noted:
                noted = RecentValues()
                noted.add(self._noted, *self._noted_of)
                self._run_behind = value_runs.write_runs(self._connection, noted, self._run_behind)
            self._noted = []
            self._noted_of = self._extractor.append_values(tasks[begin : begin + RUN_TASKS], self._noted)
        if self._recent.tasks >= RUN_TASKS or self._recent.chars >= _RUN_CHARS:
            self._run_behind = value_runs.write_runs(self._connection, self._recent, self._run_behind)
            self._written = True
        self._note_first_seq()

    def _note_first_seq(self) -> None:
        """Has it be known after a crash which tasks' values were in memory."""
        known = None if self._written else self._recent.first_seq
        noted = min((seq for *_, seq in self._noted), default=None)
        if noted is not None and (known is None or noted < known):
            self._connection.execute(_SET_RECENT_SEQ, (noted,))
        elif self._written and noted is None:
            self._connection.execute(_SET_RECENT_SEQ, (_NONE,))

    def keep_noted(self) -> None:
        """Has what was noted found from now on."""
        with self._lock:
            if self._written:
                self._recent = RecentValues()
            self._next_run = self._run_behind
            self._recent.add(self._noted, *self._noted_of)
        self._noted, self._written = [], False

    def forget(self, seqs: Sequence[int]) -> None:
        """Removes what is kept of these tasks, within the transaction that removes or renews them, before it does."""
        found = [
            each for begin in range(0, len(seqs), _STEP_ROWS) for each in self._values_of(seqs[begin:][:_STEP_ROWS])
        ]
        value_runs.remove_values(self._connection, found)
        gone = set(seqs)
        self._noted = [each for each in self._noted if each[2] not in gone]
        with self._lock:
            self._recent.remove(found)
        self._old.remove(found)

    def _values_of(self, seqs: Sequence[int]) -> Iterator[Found]:
        """Also those in indexes that are no longer wanted."""
        fields = {_path_of(text): field for field, text in self._rows("SELECT field, path FROM value_fields")}
        column = "NULL" if fields.keys() == {TAGS} else "data"
        some = f"SELECT seq, tags, {column} FROM tasks WHERE seq IN ({', '.join('?' * len(seqs))})"
        for seq, tags, data in self._rows(some, *seqs):
            for path, field in fields.items():
                text = tags if path == TAGS else data
                yield from ((field, value, seq) for value in (values_in(text, path) if text else ()))

    def found_recently(self, field: int, bounds: Sequence[Bound]) -> FoundRecently:
        """What is in memory of those that may satisfy all of ``bounds``. For any thread."""
        with self._lock:
            return FoundRecently(self._next_run, self._recent.find(field, bounds))

    def write_recent(self) -> None:
        """Writes what is in memory, so that it need not be found out again at the next start."""
        if self._recent.first_seq is not None:
            with _transaction(self._connection):
                value_runs.write_runs(self._connection, self._recent, self._next_run)
                self._connection.execute(_SET_RECENT_SEQ, (_NONE,))

    @property
    def progress(self) -> str | None:
        """Which fields are not indexed yet, and how far that is, for people; ``None`` when all are. For any thread."""
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
        """Reads some tasks; when that were enough, or all, writes a run of them."""
        if self._old_reached == _NONE:
            [(self._old_reached,)] = self._rows("SELECT indexed_seq FROM value_fields WHERE field = ?", field)
        tasks = self._next_tasks("tags" if path == TAGS else "data", self._old_reached)
        found = [(field, value, seq) for seq, text in tasks if text for value in values_in(text, path)]
        self._old.add(found, len(tasks), 0)
        self._old_reached = tasks[-1][0] if tasks else self._last_seq
        is_last = self._old_reached >= self._last_seq
        self._share = 0.0 if is_last else self._old_reached / self._last_seq
        if is_last or self._old.tasks >= RUN_TASKS:
            self._write_old(path, field, _ALL if is_last else self._old_reached)

    def _write_old(self, path: Path, field: int, reached: int) -> None:
        with _transaction(self._connection):
            next_run = value_runs.write_runs(self._connection, self._old, self._next_run)
            self._connection.execute("UPDATE value_fields SET indexed_seq = ? WHERE field = ?", (reached, field))
        with self._lock:
            self._next_run = next_run
        self._old, self._old_reached = RecentValues(), _NONE
        if reached == _ALL:
            self.usable = self._complete()
            if self._last_seq:
                log.info("The tasks are indexed by %s.", ".".join(path))

    def _next_tasks(self, column: str, after_seq: int) -> list[tuple[int, str | None]]:
        """As many as are read in one step, with the JSON in ``column``, which may be long."""
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
        with _transaction(self._connection):
            if not value_runs.remove_run(self._connection, *unwanted[0]):
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
