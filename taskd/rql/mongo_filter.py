"""A query's filter as JSON, in the manner of a MongoDB filter: what a page shows under ``query``."""

import re
from typing import Any

import msgspec

from taskd.rql.query import Compare, Contains, Group, Guessed, Member, Moment, Node, Pattern, Query, Value

_OPERATORS = {"ne": "$ne", "gt": "$gt", "ge": "$gte", "lt": "$lt", "le": "$lte", "in": "$in", "out": "$nin"}


def filter_json(query: Query) -> str:
    """The filter as JSON text, such as ``{"status":"failed"}``; ``{}`` if there is none."""
    return msgspec.json.encode({} if query.where is None else _condition(query.where)).decode()


def _condition(node: Node) -> dict[str, Any]:
    if isinstance(node, Group):
        return {f"${node.op}": [_condition(condition) for condition in node.conditions]}
    return {".".join(node.path): _test(node)}


def _test(node: Compare | Member | Contains) -> Any:
    match node:
        case Member():
            return {_OPERATORS[node.op]: [_value(value) for value in node.values]}
        case Contains():
            return _presence(node)
        case Compare(op="like", value=str(text)):
            return {"$regex": re.escape(text), "$options": "i"}
        case Compare(op="eq" | "like"):
            return _value(node.value)
        case Compare():
            return {_OPERATORS[node.op]: _value(node.value)}


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
