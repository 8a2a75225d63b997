"""Deliveries in the catalogue: their rows, how they are written and forgotten, and the questions asked of them.

Those that wait are in the live state, too; of those that have ended this is all that is kept.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from taskd.model.delivery import Delivery, DeliveryStatus
from taskd.model.task import Task
from taskd.rql.query import Compare, Group, Query
from taskd.store.embedded.catalogue.listing import Listing
from taskd.store.embedded.catalogue.rows import COLUMNS as TASK_COLUMNS
from taskd.store.embedded.catalogue.rows import task_of
from taskd.store.embedded.catalogue.sql.fields import DELIVERIES
from taskd.store.embedded.catalogue.sql.planning import Table
from taskd.store.embedded.catalogue.statements import insert
from taskd.store.embedded.webhook_state import Projected

CREATE = """
CREATE TABLE webhook_deliveries (
    seq INTEGER PRIMARY KEY,          -- the order in which they were made
    id TEXT NOT NULL UNIQUE,
    webhook_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    subject_id TEXT NOT NULL,
    creation_ms INTEGER NOT NULL,
    next_ms INTEGER NOT NULL,
    status TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    attempt_ms INTEGER,
    status_code INTEGER,
    error TEXT,
    content TEXT NOT NULL             -- JSON object
);
CREATE INDEX webhook_deliveries_webhook ON webhook_deliveries (webhook_id);
CREATE INDEX webhook_deliveries_subject ON webhook_deliveries (subject_id);
CREATE INDEX webhook_deliveries_ended ON webhook_deliveries (seq) WHERE status <> 'waiting';
"""
COLUMNS = (
    *("id", "webhook_id", "event_type", "subject_id", "creation_ms", "next_ms", "status", "attempts"),
    *("attempt_ms", "status_code", "error", "content"),
)
_CHANGING = ("next_ms", "status", "attempts", "attempt_ms", "status_code", "error")
UPSERT = insert(
    "webhook_deliveries",
    COLUMNS,
    f"ON CONFLICT (id) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _CHANGING)}",
)
_TABLE = Table("webhook_deliveries", COLUMNS, DELIVERIES)
_SELECT = f"SELECT {', '.join(COLUMNS)} FROM webhook_deliveries"
TOO_OLD = f"seq <= (SELECT max(seq) - ? FROM webhook_deliveries) AND status <> '{DeliveryStatus.WAITING}'"


def row(delivery: Delivery) -> tuple[Any, ...]:
    """All columns, in the order of ``COLUMNS``."""
    return (
        delivery.id,
        delivery.webhook_id,
        delivery.event_type,
        delivery.subject_id,
        delivery.creation_ms,
        delivery.next_ms,
        delivery.status.value,
        delivery.attempts,
        delivery.attempt_ms,
        delivery.status_code,
        delivery.error,
        delivery.content.decode(),
    )


def delivery_of(columns: tuple[Any, ...]) -> Delivery:
    """The delivery of a row with all columns."""
    (delivery_id, webhook_id, event_type, subject_id, creation_ms, next_ms, status) = columns[:7]
    (attempts, attempt_ms, status_code, error, content) = columns[7:]
    return Delivery(
        id=delivery_id,
        webhook_id=webhook_id,
        event_type=event_type,
        subject_id=subject_id,
        creation_ms=creation_ms,
        content=content.encode(),
        next_ms=next_ms,
        status=DeliveryStatus(status),
        attempts=attempts,
        attempt_ms=attempt_ms,
        status_code=status_code,
        error=error,
    )


def forget(connection: sqlite3.Connection, projected: Projected, kept: int) -> None:
    """Removes what is to be known no more, and of what has ended all but the newest ``kept``."""
    for webhook_id in projected.without_webhook:
        connection.execute("DELETE FROM webhook_deliveries WHERE webhook_id = ?", (webhook_id,))
    for subject_id in projected.erased:
        connection.execute("DELETE FROM webhook_deliveries WHERE subject_id = ?", (subject_id,))
    connection.execute(f"DELETE FROM webhook_deliveries WHERE {TOO_OLD}", (kept,))


def page(query: Query, webhook_id: str) -> Listing[Delivery]:
    """A page of the deliveries to one webhook. A query that makes no sense raises ``INVALID_RQL`` here."""
    of_webhook = Compare("eq", ("webhookId",), webhook_id, 0)
    where = of_webhook if query.where is None else Group("and", (of_webhook, query.where))
    return Listing(replace(query, where=where), _TABLE, delivery_of)


def by_id(connection: sqlite3.Connection, delivery_id: str) -> Delivery | None:
    """The delivery of this id, if there is one."""
    found = connection.execute(f"{_SELECT} WHERE id = ?", (delivery_id,)).fetchone()
    return None if found is None else delivery_of(found)


def tasks_by_ids(connection: sqlite3.Connection, task_ids: Sequence[str]) -> dict[str, Task]:
    """The tasks of these ids with their data, as far as they are there; a thousand of them at most."""
    places = ", ".join("?" * len(task_ids))
    rows = connection.execute(f"SELECT {', '.join(TASK_COLUMNS)} FROM tasks WHERE id IN ({places})", task_ids)
    return {task.id: task for task in map(task_of, rows)}
