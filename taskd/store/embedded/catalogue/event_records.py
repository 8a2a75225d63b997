"""Events in the catalogue: their rows, how they are forgotten, and the questions asked of them."""

import sqlite3
from typing import Any

from taskd.model.event import Event
from taskd.rql.query import Query
from taskd.store.embedded.catalogue.listing import Listing
from taskd.store.embedded.catalogue.sql.fields import EVENTS
from taskd.store.embedded.catalogue.sql.planning import Table
from taskd.store.embedded.catalogue.statements import insert

CREATE = """
CREATE TABLE events (
    seq INTEGER PRIMARY KEY,          -- the order in which they were published
    id TEXT NOT NULL,                 -- a sender's own may come again
    type TEXT NOT NULL,
    creation_ms INTEGER NOT NULL,
    created_by_user_id TEXT,
    created_by_application_id TEXT,
    content TEXT                      -- JSON object, as it came in; NULL when there is none
);
CREATE INDEX events_id ON events (id);
CREATE INDEX events_type ON events (type, creation_ms);
CREATE INDEX events_creation ON events (creation_ms);
"""
COLUMNS = ("id", "type", "creation_ms", "created_by_user_id", "created_by_application_id", "content")
INSERT = insert("events", COLUMNS)

_TABLE = Table("events", COLUMNS, EVENTS, small_sql="ifnull(length(content), 0) <= 65536")
_BEFORE = "SELECT seq FROM events WHERE creation_ms < ? ORDER BY creation_ms, seq LIMIT ?"


def row(event: Event) -> tuple[Any, ...]:
    """All columns, in the order of ``COLUMNS``."""
    content = None if event.content is None else event.content.decode()
    creator = (event.created_by_user_id, event.created_by_application_id)
    return (event.id, event.type, event.creation_ms, *creator, content)


def event_of(columns: tuple[Any, ...]) -> Event:
    """The event of a row with all columns."""
    event_id, type_, creation_ms, user_id, application_id, content = columns
    return Event(event_id, type_, None if content is None else content.encode(), creation_ms, user_id, application_id)


def page(query: Query) -> Listing[Event]:
    """A page of events. A query that makes no sense raises ``INVALID_RQL`` here."""
    return Listing(query, _TABLE, event_of)


def count_before(connection: sqlite3.Connection, before_ms: int, limit: int) -> int:
    """How many events are older than that, as far as ``limit``."""
    found: int = connection.execute(f"SELECT count(*) FROM ({_BEFORE})", (before_ms, limit)).fetchone()[0]
    return found


def forget_before(connection: sqlite3.Connection, before_ms: int, limit: int) -> None:
    """Removes the oldest ``limit`` events of those that are older than that."""
    connection.execute(f"DELETE FROM events WHERE seq IN ({_BEFORE})", (before_ms, limit))
