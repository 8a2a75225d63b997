"""Queries over schedules. These are few and live in memory: a listing hands them to SQLite, so that a query means the
same for them as for anything else, and no table has to be kept in step."""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from taskd.model.schedule import Schedule
from taskd.rql.query import Query
from taskd.store.base import Page
from taskd.store.embedded.catalogue.sql.compile import compile_filter, compile_order
from taskd.store.embedded.catalogue.sql.fields import SCHEDULES

_COLUMNS = (
    "id",
    "interval_s",
    "function_name",
    "data",
    "priority",
    "start_ms",
    "next_ms",
    "creation_ms",
    "update_ms",
    "created_by_application_id",
    "created_by_user_id",
    "paused",
    "pause_reason",
)
_VALUES = ", ".join(f"value ->> {index} AS {name}" for index, name in enumerate(_COLUMNS))
_WITH_SCHEDULES = f"WITH schedules AS MATERIALIZED (SELECT key AS seq, {_VALUES} FROM json_each(?))"


def page(query: Query, candidates: Sequence[Schedule]) -> Callable[[sqlite3.Connection], Page[Schedule]]:
    """A page of ``candidates``, which are in the order of their creation.

    A query that makes no sense raises ``INVALID_RQL`` here, before any connection is taken.
    """
    where, order = compile_filter(query.where, SCHEDULES), compile_order(query.sort, SCHEDULES)
    found = f"{_WITH_SCHEDULES} SELECT seq FROM schedules WHERE " + where + " ORDER BY " + order

    def read(connection: sqlite3.Connection) -> Page[Schedule]:
        rows = msgspec.json.encode([_row(schedule) for schedule in candidates]).decode()
        places = connection.execute(found.text, (rows, *found.params)).fetchall()
        on_page = [candidates[place] for (place,) in places[query.offset : query.offset + query.limit]]
        return Page(on_page, None if query.skip_count else len(places))

    return read


def _row(schedule: Schedule) -> tuple[Any, ...]:
    return (
        schedule.id,
        schedule.interval_ms / 1000,
        schedule.function_name,
        schedule.data.decode(),
        schedule.priority,
        schedule.start_ms,
        None if schedule.paused else schedule.next_ms,
        schedule.creation_ms,
        schedule.update_ms,
        schedule.created_by_application_id,
        schedule.created_by_user_id,
        "true" if schedule.paused else None,
        schedule.pause_reason,
    )
