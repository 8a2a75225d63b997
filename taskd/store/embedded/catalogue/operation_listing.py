"""What queries see of operations."""

import sqlite3
from collections.abc import Callable, Sequence

from taskd.model.operation import Operation
from taskd.rql.query import Query
from taskd.store.base import Page
from taskd.store.embedded.catalogue.record_listing import RecordTable
from taskd.store.embedded.catalogue.sql.fields import OPERATIONS

_TABLE: RecordTable[Operation] = RecordTable(
    OPERATIONS,
    {
        "id": lambda operation: operation.id,
        "action": lambda operation: operation.action.value,
        "rql": lambda operation: operation.rql,
        "status": lambda operation: operation.status.value,
        "matched": lambda operation: operation.matched,
        "done": lambda operation: operation.done,
        "skipped": lambda operation: operation.skipped,
        "creation_ms": lambda operation: operation.creation_ms,
        "update_ms": lambda operation: operation.update_ms,
        "rate_per_s": lambda operation: operation.rate_per_s,
        "data": lambda operation: None if operation.data is None else operation.data.decode(),
        "priority": lambda operation: operation.priority,
        "start_ms": lambda operation: operation.start_ms,
        "created_by_user_id": lambda operation: operation.created_by_user_id,
        "created_by_application_id": lambda operation: operation.created_by_application_id,
        "error": lambda operation: operation.error,
        "wait_reason": lambda operation: operation.wait_reason,
    },
)


def page(query: Query, candidates: Sequence[Operation]) -> Callable[[sqlite3.Connection], Page[Operation]]:
    """A page of ``candidates``, which are in the order of their creation; raises ``INVALID_RQL`` here."""
    return _TABLE.page(query, candidates)
