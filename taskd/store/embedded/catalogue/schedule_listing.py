"""Queries over schedules. These are few and live in memory: a listing hands them to SQLite, so that a query means the
same for them as for anything else, and no table has to be kept in step."""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from taskd.model.schedule import NEVER_MS, Overlap, Schedule
from taskd.rql.query import Query
from taskd.store.base import Page
from taskd.store.embedded.catalogue.sql.compile import compile_filter, compile_order
from taskd.store.embedded.catalogue.sql.fields import SCHEDULES

_COLUMNS: dict[str, Callable[[Schedule], Any]] = {
    "id": lambda schedule: schedule.id,
    "interval_s": lambda schedule: None if schedule.cron else schedule.interval_ms / 1000,
    "function_name": lambda schedule: schedule.function_name,
    "data": lambda schedule: schedule.data.decode(),
    "priority": lambda schedule: schedule.priority,
    "start_ms": lambda schedule: schedule.start_ms,
    "next_ms": lambda schedule: None if schedule.paused or schedule.next_ms == NEVER_MS else schedule.next_ms,
    "creation_ms": lambda schedule: schedule.creation_ms,
    "update_ms": lambda schedule: schedule.update_ms,
    "created_by_application_id": lambda schedule: schedule.created_by_application_id,
    "created_by_user_id": lambda schedule: schedule.created_by_user_id,
    "paused": lambda schedule: "true" if schedule.paused else None,
    "pause_reason": lambda schedule: schedule.pause_reason,
    "cron": lambda schedule: schedule.cron,
    "time_zone": lambda schedule: schedule.time_zone,
    "overlap": lambda schedule: None if schedule.overlap is Overlap.ALLOW else schedule.overlap.value,
    "catch_up_s": lambda schedule: None if schedule.catch_up_ms is None else schedule.catch_up_ms / 1000,
    "jitter_s": lambda schedule: schedule.jitter_ms / 1000 or None,
    "end_ms": lambda schedule: schedule.end_ms,
    "remaining": lambda schedule: schedule.remaining,
    "note": lambda schedule: schedule.note,
    "tags": lambda schedule: msgspec.json.encode(schedule.tags).decode() if schedule.tags else None,
    "buffered_ms": lambda schedule: schedule.buffered_ms,
}
"""What a query sees of a schedule: what is left out on the wire is NULL here."""
_VALUES = ", ".join(f"value ->> {index} AS {name}" for index, name in enumerate(_COLUMNS))
_WITH_SCHEDULES = f"WITH schedules AS MATERIALIZED (SELECT key AS seq, {_VALUES} FROM json_each(?))"


def page(query: Query, candidates: Sequence[Schedule]) -> Callable[[sqlite3.Connection], Page[Schedule]]:
    """A page of ``candidates``, which are in the order of their creation.

    A query that makes no sense raises ``INVALID_RQL`` here, before any connection is taken.
    """
    where, order = compile_filter(query.where, SCHEDULES), compile_order(query.sort, SCHEDULES)
    found = f"{_WITH_SCHEDULES} SELECT seq FROM schedules WHERE " + where + " ORDER BY " + order

    def read(connection: sqlite3.Connection) -> Page[Schedule]:
        values = [[value_of(schedule) for value_of in _COLUMNS.values()] for schedule in candidates]
        rows = msgspec.json.encode(values).decode()
        places = connection.execute(found.text, (rows, *found.params)).fetchall()
        on_page = [candidates[place] for (place,) in places[query.offset : query.offset + query.limit]]
        return Page(on_page, None if query.skip_count else len(places))

    return read
