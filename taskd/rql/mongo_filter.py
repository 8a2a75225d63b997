"""A query's filter as JSON, in the manner of a MongoDB filter: what a page shows under ``query``."""

from typing import Any

import msgspec

from taskd.rql.operators import COMPARISONS
from taskd.rql.query import Compare, Contains, Group, Guessed, Member, Moment, Node, Pattern, Query, Value


def filter_json(query: Query) -> str:
    """The filter as JSON text, such as ``{"status":"failed"}``; ``{}`` if there is none."""
    return msgspec.json.encode({} if query.where is None else _condition(query.where)).decode()


def _condition(node: Node) -> dict[str, Any]:
    if isinstance(node, Group):
        return {f"${node.op}": [_condition(condition) for condition in node.conditions]}
    return {".".join(node.path): _test(node)}


def _test(node: Compare | Member | Contains) -> Any:
    if isinstance(node, Contains):
        return _presence(node)
    comparison = COMPARISONS[node.op]
    if isinstance(node, Member):
        return comparison.mongo([_value(value) for value in node.values])
    is_search = isinstance(node.value, Pattern) and comparison.negates is None
    return _value(node.value) if is_search else comparison.mongo(_value(node.value))


def _presence(node: Contains) -> dict[str, Any]:
    if node.condition is None:
        return {"$exists": not node.negated}
    match = {"$elemMatch": _condition(node.condition)}
    return {"$not": match} if node.negated else match


def _value(value: Value) -> Any:
    match value:
        case Guessed():
            return value.value
        case Moment():
            return value.text
        case Pattern():
            return {"$regex": value.regex, "$options": "i" if value.ignore_case else ""}
        case _:
            return value
