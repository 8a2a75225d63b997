"""What queries see of schedules."""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from taskd.model.schedule import NEVER_MS, Overlap, Schedule
from taskd.model.task_extras import UniqueRule
from taskd.model.wire import unique_rule_view
from taskd.rql.query import Query
from taskd.store.base import Page
from taskd.store.embedded.catalogue.record_listing import RecordTable
from taskd.store.embedded.catalogue.sql.fields import SCHEDULES


def _encoded(rule: UniqueRule | None) -> str | None:
    return None if rule is None else msgspec.json.encode(unique_rule_view(rule)).decode()


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
    "unique_rule": lambda schedule: _encoded(schedule.unique),
}
"""What a query sees of a schedule: what is left out on the wire is NULL here."""
_TABLE = RecordTable(SCHEDULES, _COLUMNS)


def page(query: Query, candidates: Sequence[Schedule]) -> Callable[[sqlite3.Connection], Page[Schedule]]:
    """A page of ``candidates``, which are in the order of their creation; raises ``INVALID_RQL`` here."""
    return _TABLE.page(query, candidates)
