"""Conditions that are kept with what they are for, and asked again and again of records in memory.

A listing is asked of a database, with the same meaning; here a typing error would go unnoticed for long, so fields that
the records do not have are refused.
"""

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from taskd.rql.coerce import Kind
from taskd.rql.evaluate import Cancelled, matches
from taskd.rql.in_memory import coerced
from taskd.rql.matcher import never
from taskd.rql.parser import parse_filter
from taskd.rql.query import Contains, Group, Node

TASK_KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        **dict.fromkeys(("id", "status", "functionName", "scheduleId", "retriedByTaskId"), Kind.TEXT),
        **dict.fromkeys(("replayOfTaskId", "replayedByTaskId"), Kind.TEXT),
        **dict.fromkeys(("createdByUserId", "createdByApplicationId"), Kind.TEXT),
        **dict.fromkeys(("statusChangedTimestamp", "updateTimestamp"), Kind.TIME),
        **dict.fromkeys(("startTimestamp", "creationTimestamp"), Kind.TIME),
        **dict.fromkeys(("tags", "retryForTaskIds", "error"), Kind.JSON_OF_TEXTS),
        "priority": Kind.NUMBER,
        **dict.fromkeys(("data", "unique"), Kind.JSON),
    }
)
"""What the fields of a task hold, for queries."""


class Condition:
    """What an RQL text without directives asks of a record."""

    def __init__(self, text: str, kinds: Mapping[str, Kind]) -> None:
        """Raises ``RqlError`` where it makes no sense for records whose fields are of these kinds."""
        where = parse_filter(text)
        self._where = None if where is None else coerced(where, kinds)
        self.fields = frozenset() if where is None else frozenset(_fields(where))
        """The fields that it looks at."""

    def holds(self, record: dict[str, Any], cancelled: Cancelled = never) -> bool:
        """Whether ``record`` satisfies it; times in it are in milliseconds. Raises ``SearchCancelledError``."""
        return self._where is None or matches(self._where, (record,), cancelled)


@lru_cache(maxsize=256)
def task_condition(text: str) -> Condition:
    """The condition in ``text`` on a task. Raises ``RqlError``."""
    return Condition(text, TASK_KINDS)


def _fields(node: Node) -> set[str]:
    if isinstance(node, Group):
        return set().union(*map(_fields, node.conditions))
    assert isinstance(node, Contains) or node.path
    return {node.path[0]}
