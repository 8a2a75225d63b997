"""What a query means, told as plainly as possible over tasks as they are on the wire: the yardstick for the SQL.

What the operators that it knows say of two values is told here once more; of others it takes the table's word.
"""

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from taskd.model.timestamps import parse_timestamp
from taskd.rql.operators import COMPARISONS
from taskd.rql.query import Compare, Contains, Group, Guessed, Member, Moment, Node, Pattern, Query, Value

TASK_TIMES = {"statusChangedTimestamp", "startTimestamp", "creationTimestamp", "updateTimestamp"}
TIMES = TASK_TIMES | {"timestamp", "nextTimestamp", "endTimestamp", "bufferedTimestamp", "attemptTimestamp"}
TIMES |= {"creation_timestamp", "update_timestamp"}
TEXTS = {
    *("id", "status", "functionName", "createdByApplicationId", "createdByUserId", "retriedByTaskId", "scheduleId"),
    *("tags", "retryForTaskIds", "error", "pauseReason", "cron", "timeZone", "overlap", "note"),
    *("type", "event_types", "eventType", "name", "description"),
    *("webhookId", "event", "subjectId", "url", "events", "rql", "include", "disabledReason"),
}
Json = dict[str, Any]


def naive_page(tasks: list[Json], query: Query) -> list[Json]:
    """The page of ``tasks``, which are in the order of their creation, that ``query`` asks for."""
    found = [task for task in tasks if query.where is None or naive_matches(task, query.where)]
    if not query.sort:
        found.sort(key=lambda task: str(task["creationTimestamp"]))
    for key in reversed(query.sort):
        found.sort(key=partial(sort_value, path=key.path), reverse=key.descending)
    return found[query.offset : query.offset + query.limit]


def sort_value(task: Json, path: tuple[str, ...]) -> tuple[int, Any]:
    """No value, numbers, strings, booleans."""
    value: Any = task
    for step in path:
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return 0, 0
    if path[0] in TIMES:
        return 1, parse_timestamp(value)
    if isinstance(value, bool):
        return 3, value
    if isinstance(value, int | float):
        return 1, value
    return (2, value) if isinstance(value, str) else (0, 0)


def naive_matches(task: Json, node: Node) -> bool:
    """Whether ``node`` holds for the whole task."""
    if isinstance(node, Group):
        results = [naive_matches(task, condition) for condition in node.conditions]
        return all(results) if node.op == "and" else any(results)
    if node.path[0] in TIMES and len(node.path) == 1 and not isinstance(node, Contains):
        return time_matches(time_of(task, node.path[0]), node)
    return field_matches(task, node, texts=node.path[0] in TEXTS)


def time_of(task: Json, field: str) -> int | None:
    return parse_timestamp(task[field]) if field in task else None


def time_matches(epoch_ms: int | None, node: Compare | Member) -> bool:
    found = epoch_ms is not None and any(holds(node.op, epoch_ms, moment_ms(value)) for value in node.values)
    return found != is_negation(node.op)


def moment_ms(value: Value) -> int | None:
    if isinstance(value, Moment):
        return value.epoch_ms
    return parse_timestamp(value.value if isinstance(value, Guessed) else value)


def field_matches(root: Any, node: Node, *, texts: bool) -> bool:
    """Whether ``node`` holds for what is at its path below ``root``."""
    if isinstance(node, Group):
        results = [field_matches(root, condition, texts=texts) for condition in node.conditions]
        return all(results) if node.op == "and" else any(results)
    found = list(reach(root, node.path))
    if isinstance(node, Contains):
        return contains(found, node, texts=texts) != node.negated
    any_holds = any(compares(node.op, found, settle(value, texts=texts)) for value in node.values)
    return any_holds != is_negation(node.op)


def contains(found: list[Any], node: Contains, *, texts: bool) -> bool:
    condition = node.condition
    if condition is None:
        return found != []
    objects = [element for element in spread(found) if isinstance(element, dict)]
    return any(field_matches(element, condition, texts=texts) for element in objects)


def reach(value: Any, path: tuple[str, ...]) -> Iterator[Any]:
    if not path:
        yield value
    elif isinstance(value, dict):
        if path[0] in value:
            yield from reach(value[path[0]], path[1:])
    elif isinstance(value, list):
        if re.fullmatch("0|[1-9][0-9]*", path[0]) and int(path[0]) < len(value):
            yield from reach(value[int(path[0])], path[1:])
        for element in value:
            if isinstance(element, dict):
                yield from reach(element, path)


def spread(found: list[Any]) -> Iterator[Any]:
    for value in found:
        if isinstance(value, list):
            yield from value
        else:
            yield value


def settle(value: Value, *, texts: bool) -> Value:
    if isinstance(value, Guessed):
        return value.text if texts else value.value
    return value.text if isinstance(value, Moment) else value


def compares(op: str, found: list[Any], value: Value) -> bool:
    if value is None and not found:
        return True
    return any(relates(op, element, value) for element in spread(found))


def relates(op: str, element: Any, value: Value) -> bool:
    if isinstance(value, Pattern):
        flags = re.IGNORECASE if value.ignore_case else 0
        return isinstance(element, str) and re.search(value.regex, element, flags) is not None
    if value is None or isinstance(value, bool) or element is None or isinstance(element, bool):
        return element is value
    if isinstance(element, dict | list) or isinstance(element, str) != isinstance(value, str):
        return False
    return holds(op, element, value)


def like(text: str, part: str) -> bool:
    if part.isascii():
        return part.encode().lower() in text.encode().lower()
    return part.casefold() in text.casefold()


HOLDS: dict[str, Callable[[Any, Any], bool]] = {
    **dict.fromkeys(("eq", "ne", "in", "out"), lambda left, right: left == right),
    "gt": lambda left, right: left > right,
    "ge": lambda left, right: left >= right,
    "lt": lambda left, right: left < right,
    "le": lambda left, right: left <= right,
    "like": like,
}


def holds(op: str, left: Any, right: Any) -> bool:
    return (HOLDS.get(op) or COMPARISONS[op].holds)(left, right)


def is_negation(op: str) -> bool:
    return op in ("ne", "out") if op in HOLDS else COMPARISONS[op].negates is not None
