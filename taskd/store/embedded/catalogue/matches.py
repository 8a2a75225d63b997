"""The matches of operations: the tasks that a filter finds, by their numbers, and these tasks when their turn comes."""

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import accumulate

from taskd.model.task import Task
from taskd.rql.query import Node, Query
from taskd.store.embedded.catalogue.rows import COLUMNS, task_of
from taskd.store.embedded.catalogue.sql.compile import compile_filter
from taskd.store.embedded.catalogue.sql.fields import TASKS
from taskd.store.embedded.catalogue.sql.indexes import scans
from taskd.store.embedded.gil_pacing import GilPacer

SEQ_BYTES = 8
"""Of a number: big-endian."""
_PART_MATCHES = 1 << 20
"""Matches of one statement, 16 MiB of text: each goes through the index again, and one alone knows no bound."""
_SLICE_CHARS = 1 << 15
"""Of that text, decoded at once: for a longer one the event loop would wait."""
_SELECT_WITHOUT_DATA = f"SELECT {', '.join(COLUMNS[:-1])}, '' FROM tasks"
_SELECT = f"SELECT {', '.join(COLUMNS)} FROM tasks"
assert COLUMNS[-1] == "data"


class Matching:
    """All tasks that satisfy a filter. One that makes no sense raises ``INVALID_RQL`` here."""

    def __init__(self, where: Node) -> None:
        found = "SELECT seq FROM tasks WHERE seq > ? AND (" + compile_filter(where, TASKS) + ") ORDER BY seq LIMIT ?"
        self._part = "SELECT group_concat(printf('%016x', seq), ''), count(*), max(seq) FROM (" + found + ")"
        self.scans = scans(Query(where), TASKS)
        """Whether the time that it takes grows with all there is."""

    def __call__(self, connection: sqlite3.Connection) -> Iterator[bytes]:
        """Their numbers, in the order of their creation. They are all of one moment if ``connection`` has but one view.

        As one text of many: row by row it would need the interpreter's lock for each.
        """
        last, count, pace = -1, _PART_MATCHES, GilPacer()
        while count == _PART_MATCHES:
            params = (last, *self._part.params, _PART_MATCHES)
            text, count, last = connection.execute(self._part.text, params).fetchone()
            for begin in range(0, 2 * SEQ_BYTES * count, _SLICE_CHARS):
                yield bytes.fromhex(text[begin : begin + _SLICE_CHARS])
                pace()


def ids_of(connection: sqlite3.Connection, seqs: Sequence[int]) -> list[str]:
    """The ids of the tasks with these numbers that are still there, in the order of the numbers."""
    rows = connection.execute(f"SELECT id FROM tasks WHERE seq IN ({_places(seqs)}) ORDER BY seq", seqs)
    return [task_id for (task_id,) in rows]


def ids_with_copies(connection: sqlite3.Connection, seqs: Sequence[int], since_id: str) -> list[str]:
    """The ids of the tasks with these numbers that are still there, then those of their retries: what they led to.

    And of the newest replay of each, if it was made after ``since_id``: what is older could have matched by itself.
    """
    ids: dict[str, None] = dict.fromkeys(ids_of(connection, seqs))
    new = list(ids)
    while new:
        places = ", ".join("?" * len(new))
        copies = (
            f"SELECT retried_by_task_id FROM tasks WHERE retried_by_task_id IS NOT NULL AND id IN ({places})"
            f" UNION ALL SELECT extras ->> 3 FROM tasks WHERE extras ->> 3 > ? AND id IN ({places})"
        )
        rows = connection.execute(copies, (*new, since_id, *new))
        new = [task_id for (task_id,) in rows if task_id not in ids]
        ids |= dict.fromkeys(new)
    return list(ids)


def tasks_up_to_bytes(
    connection: sqlite3.Connection, seqs: Sequence[int], most_bytes: int, own_bytes: int | None
) -> tuple[int, list[Task]]:
    """The first of these tasks that are still there, with no more data than that, but one at least.

    Gives how many of the numbers that is about, too. With ``own_bytes`` each counts as so much, and has no data.
    """
    count = _fitting(connection, seqs, most_bytes) if own_bytes is None else max(1, most_bytes // max(1, own_bytes))
    chosen = seqs[:count]
    select = _SELECT if own_bytes is None else _SELECT_WITHOUT_DATA
    rows = connection.execute(f"{select} WHERE seq IN ({_places(chosen)}) ORDER BY seq", chosen)
    return len(chosen), [task_of(row) for row in rows]


def _fitting(connection: sqlite3.Connection, seqs: Sequence[int], most_bytes: int) -> int:
    lengths = f"SELECT seq, length(CAST(data AS BLOB)) FROM tasks WHERE seq IN ({_places(seqs)})"
    sizes: dict[int, int] = dict(connection.execute(lengths, seqs))
    sums: Iterator[int] = accumulate(sizes.get(seq, 0) for seq in seqs)
    return max(1, sum(size_bytes <= most_bytes for size_bytes in sums))


def _places(values: Sequence[int]) -> str:
    return ", ".join("?" * len(values))
