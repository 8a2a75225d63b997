"""Links from one task to another that was erased: who has them, and the SQL that ends them."""

import sqlite3
from collections.abc import Collection, Iterator, Sequence

from taskd.store.embedded.gil_pacing import GilPacer

NO_TASK = "0" * 24
"""In the place of an erased task's id: how often a task was tried must not be forgotten with it."""

_LINKS = ("retry_for_task_ids", "retried_by_task_id", "extras")
_ANY = " OR ".join(f"{column} IS NOT NULL" for column in _LINKS)
_SELECT = f"SELECT seq, id, {', '.join(_LINKS)} FROM tasks WHERE seq > ? AND ({_ANY}) ORDER BY seq"
_REPLACED = ", ".join(f"{column} = replace({column}, ?1, '{NO_TASK}')" for column in _LINKS)
_ID_CHARS = len(NO_TASK)

Link = tuple[int, str, str]
"""The number and the id of a task, and the id of another that it names."""


def links_to(connection: sqlite3.Connection, ids: Collection[str]) -> list[Link]:
    """All links to these tasks. Looks at every task that has any link."""
    pace = GilPacer()
    found: list[Link] = []
    for seq, task_id, *texts in connection.execute(_SELECT, (-1,)):
        found += ((seq, task_id, linked) for text in texts if text for linked in _ids_in(text) if linked in ids)
        pace()
    return found


def events_naming(connection: sqlite3.Connection, ids: Collection[str]) -> list[int]:
    """The numbers of the events whose content names one of these tasks. Looks at every event."""
    pace = GilPacer()
    found: list[int] = []
    for seq, content in connection.execute("SELECT seq, content FROM events WHERE content IS NOT NULL"):
        if any(each in ids for each in _ids_in(content)):
            found.append(seq)
        pace()
    return found


def events_behind(connection: sqlite3.Connection, seqs: Sequence[int]) -> list[int]:
    """The numbers of the events that the tasks with these numbers were made of."""
    found: list[int] = []
    for seq in seqs:
        found += (
            event
            for (event,) in connection.execute(
                "SELECT seq FROM events WHERE id = (SELECT json_extract(data, '$.event.id') FROM tasks WHERE seq = ?)",
                (seq,),
            )
        )
    return found


def event_ids(connection: sqlite3.Connection, seqs: Sequence[int]) -> list[str]:
    """The ids of the events with these numbers."""
    one = "SELECT id FROM events WHERE seq = ?"
    return [event_id for seq in seqs for (event_id,) in connection.execute(one, (seq,))]


def end_links(connection: sqlite3.Connection, links: Sequence[Link]) -> None:
    """Puts :data:`NO_TASK` in the place of the ids that are named."""
    for seq, _, linked in links:
        connection.execute(f"UPDATE tasks SET {_REPLACED} WHERE seq = ?2", (linked, seq))


def _ids_in(text: str) -> Iterator[str]:
    """Ids stand alone, or between quotes in JSON."""
    parts = text.split('"') if '"' in text else (text,)
    return (part for part in parts if len(part) == _ID_CHARS)
