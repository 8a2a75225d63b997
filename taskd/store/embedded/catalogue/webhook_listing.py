"""Queries over webhooks. These are few and live in memory: a listing hands them to SQLite, as one of schedules does."""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from taskd.model.webhook import Webhook
from taskd.rql.query import Query
from taskd.store.base import Page
from taskd.store.embedded.catalogue.sql.compile import compile_filter, compile_order
from taskd.store.embedded.catalogue.sql.fields import WEBHOOKS

_COLUMNS: dict[str, Callable[[Webhook], Any]] = {
    "id": lambda webhook: webhook.id,
    "url": lambda webhook: webhook.url,
    "events": lambda webhook: msgspec.json.encode(webhook.events).decode(),
    "rql": lambda webhook: webhook.rql,
    "description": lambda webhook: webhook.description,
    "include": lambda webhook: '["data"]' if webhook.include_data else None,
    "enabled": lambda webhook: "true" if webhook.enabled else "false",
    "disabled_reason": lambda webhook: webhook.disabled_reason,
    "creation_ms": lambda webhook: webhook.creation_ms,
    "update_ms": lambda webhook: webhook.update_ms,
    "created_by_application_id": lambda webhook: webhook.created_by_application_id,
    "created_by_user_id": lambda webhook: webhook.created_by_user_id,
}
"""What a query sees of a webhook: what is left out on the wire is NULL here. No secrets."""
_VALUES = ", ".join(f"value ->> {index} AS {name}" for index, name in enumerate(_COLUMNS))
_WITH_WEBHOOKS = f"WITH webhooks AS MATERIALIZED (SELECT key AS seq, {_VALUES} FROM json_each(?))"


def page(query: Query, candidates: Sequence[Webhook]) -> Callable[[sqlite3.Connection], Page[Webhook]]:
    """A page of ``candidates``, which are in the order of their creation.

    A query that makes no sense raises ``INVALID_RQL`` here, before any connection is taken.
    """
    where, order = compile_filter(query.where, WEBHOOKS), compile_order(query.sort, WEBHOOKS)
    found = f"{_WITH_WEBHOOKS} SELECT seq FROM webhooks WHERE " + where + " ORDER BY " + order

    def read(connection: sqlite3.Connection) -> Page[Webhook]:
        values = [[value_of(webhook) for value_of in _COLUMNS.values()] for webhook in candidates]
        rows = msgspec.json.encode(values).decode()
        places = connection.execute(found.text, (rows, *found.params)).fetchall()
        on_page = [candidates[place] for (place,) in places[query.offset : query.offset + query.limit]]
        return Page(on_page, None if query.skip_count else len(places))

    return read
