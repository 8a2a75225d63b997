"""Runs: the values of some thousand tasks for one field, written at once in their order and never added to.

So the file grows at its end, as a log does, and a value costs a fraction of what it costs to put it in its place among
all the others. A lookup asks each run in turn, which takes microseconds a run. (This is what a log-structured merge
tree does at its first level; no others are needed for the tasks of one machine.)
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence

from taskd.store.embedded.catalogue.recent_values import Found, RecentValues, Values
from taskd.store.embedded.catalogue.scalar_values import Value
from taskd.store.embedded.catalogue.statements import Row, Statement, parts

CREATE = """
CREATE TABLE value_runs (
    run INTEGER PRIMARY KEY,          -- ascends in the order in which they were written
    field INTEGER NOT NULL,           -- of value_fields
    first_seq INTEGER NOT NULL,
    last_seq INTEGER NOT NULL         -- no tasks but from the first to this one are in the run
);
CREATE INDEX value_runs_field ON value_runs (field, run);
CREATE TABLE task_values (
    run INTEGER NOT NULL,
    value NOT NULL,                   -- a number, a text, or a blob: LOOK or SEVERAL of scalar_values
    seqs NOT NULL,                    -- the number of the task that has it, or a JSON array of them
    PRIMARY KEY (run, value)
) WITHOUT ROWID;
"""
_OF_DATA = """(SELECT field FROM value_fields WHERE path != '["tags"]')"""
NOTE_SEVERAL = f"""
DELETE FROM task_values WHERE run IN (SELECT run FROM value_runs WHERE field IN {_OF_DATA});
DELETE FROM value_runs WHERE field IN {_OF_DATA};
UPDATE value_fields SET indexed_seq = 0 WHERE field IN {_OF_DATA};
"""
"""To runs that say which tasks have several values; what is indexed of ``data`` is indexed again."""
_INSERT = Statement("INSERT INTO task_values (run, value, seqs) VALUES", 3)


def next_run(connection: sqlite3.Connection) -> int:
    """The number that no run has had while this catalogue was open."""
    return int(connection.execute("SELECT ifnull(max(run), 0) + 1 FROM value_runs").fetchone()[0])


def write_runs(connection: sqlite3.Connection, recent: RecentValues, run: int) -> int:
    """Writes a run for each field that has values, numbered from ``run`` on; gives the number that is next."""
    for field, values in recent.fields.items():
        if values:
            _write_run(connection, run, field, values)
            run += 1
    return run


def _write_run(connection: sqlite3.Connection, run: int, field: int, values: Values) -> None:
    first_seq, last_seq = min(map(min, values.values())), max(map(max, values.values()))
    connection.execute("INSERT INTO value_runs VALUES (?, ?, ?, ?)", (run, field, first_seq, last_seq))
    rows: list[Row] = [(run, value, _packed(values[value])) for value in _in_order(values)]
    for part in parts(rows):
        connection.execute(*_INSERT.bind(part))


def _in_order(values: Iterable[Value]) -> list[Value]:
    """As SQLite orders them: numbers, texts, blobs."""
    numbers: list[int | float] = []
    texts: list[str] = []
    look: list[bytes] = []
    for value in values:
        if isinstance(value, str):
            texts.append(value)
        elif isinstance(value, bytes):
            look.append(value)
        else:
            numbers.append(value)
    return [*sorted(numbers), *sorted(texts), *sorted(look)]


def _packed(seqs: Sequence[int]) -> int | str:
    return seqs[0] if len(seqs) == 1 else str(seqs)


def remove_values(connection: sqlite3.Connection, found: Iterable[Found]) -> None:
    """Takes values out of the runs that hold them; each with the number of its field and that of the task."""
    gone: dict[tuple[int, Value], set[int]] = {}
    for field, value, seq in found:
        for run in _runs_of(connection, field, seq):
            gone.setdefault((run, value), set()).add(seq)
    for (run, value), seqs in gone.items():
        _remove_seqs(connection, run, value, seqs)
    for run in {run for run, _ in gone}:
        empty = "NOT EXISTS (SELECT 1 FROM task_values WHERE run = ?1)"
        connection.execute(f"DELETE FROM value_runs WHERE run = ?1 AND {empty}", (run,))


def _runs_of(connection: sqlite3.Connection, field: int, seq: int) -> Iterator[int]:
    some = "SELECT run FROM value_runs WHERE field = ?1 AND first_seq <= ?2 AND last_seq >= ?2"
    return (run for (run,) in connection.execute(some, (field, seq)))


def _remove_seqs(connection: sqlite3.Connection, run: int, value: Value, gone: set[int]) -> None:
    row = connection.execute("SELECT seqs FROM task_values WHERE run = ? AND value = ?", (run, value)).fetchone()
    if row is None:
        return
    held = [row[0]] if isinstance(row[0], int) else json.loads(row[0])
    if left := [seq for seq in held if seq not in gone]:
        change = "UPDATE task_values SET seqs = ? WHERE run = ? AND value = ?"
        connection.execute(change, (_packed(left), run, value))
    else:
        connection.execute("DELETE FROM task_values WHERE run = ? AND value = ?", (run, value))


def remove_run(connection: sqlite3.Connection, field: int) -> bool:
    """Removes a run of ``field``, some thousand rows; ``False`` if there is none."""
    found = connection.execute("SELECT run FROM value_runs WHERE field = ? LIMIT 1", (field,)).fetchone()
    if found is not None:
        connection.execute("DELETE FROM task_values WHERE run = ?", found)
        connection.execute("DELETE FROM value_runs WHERE run = ?", found)
    return found is not None


def remove_runs_from(connection: sqlite3.Connection, seq: int) -> None:
    """Removes the runs that hold only tasks from this one on."""
    some = "(SELECT run FROM value_runs WHERE first_seq >= ?)"
    connection.execute(f"DELETE FROM task_values WHERE run IN {some}", (seq,))
    connection.execute("DELETE FROM value_runs WHERE first_seq >= ?", (seq,))
