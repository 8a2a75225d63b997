"""Settles what values stand for once it is known what kind of field they are compared with."""

import re
from enum import Enum, auto

from msgspec.structs import replace

from taskd.model.timestamps import parse_rfc3339, parse_timestamp
from taskd.rql.errors import RqlError
from taskd.rql.operators import COMPARISONS, Operands
from taskd.rql.query import Compare, Contains, Group, Guessed, Member, Moment, Node, Pattern, Value

_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_NO_ZONE = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,9})?", re.ASCII)
_NO_COLON = re.compile(rf"({_NO_ZONE.pattern}[+-]\d\d)(\d\d)", re.ASCII)


class Kind(Enum):
    """What a field holds, and so what its values compare with."""

    TEXT = auto()
    NUMBER = auto()
    TIME = auto()
    """Integer milliseconds since the epoch."""
    JSON = auto()
    """Anything."""
    JSON_OF_TEXTS = auto()
    """An object or array in which every scalar is a text."""


_TEXTS_ONLY = (Kind.TEXT, Kind.JSON_OF_TEXTS)


def coerce(node: Node, kind: Kind) -> Node:
    """``node``, which is about a field of this kind, with nothing but JSON scalars and patterns for values.

    Raises :class:`RqlError` where something is compared with what it cannot be compared with.
    """
    match node:
        case Compare():
            return replace(node, value=_operand(node, node.value, kind))
        case Member():
            return replace(node, values=tuple(_operand(node, value, kind) for value in node.values))
        case Contains():
            return node if node.condition is None else replace(node, condition=coerce(node.condition, kind))
        case Group():
            return replace(node, conditions=tuple(coerce(condition, kind) for condition in node.conditions))


def _operand(node: Compare | Member, written: Value, kind: Kind) -> Value:
    operands = COMPARISONS[node.op].operands
    if kind is Kind.TIME:
        if operands is Operands.TEXT:
            raise RqlError(f"{node.op} expects a field with text, not a time", node.position)
        return epoch_ms(written, node.position)
    value = _scalar(written, kind)
    if operands is Operands.ORDERED and (value is None or isinstance(value, bool | Pattern)):
        raise RqlError(f"{node.op} expects a number, a text or a time", node.position)
    return value


def _scalar(value: Value, kind: Kind) -> Value:
    if isinstance(value, Guessed):
        return value.text if kind in _TEXTS_ONLY else value.value
    return value.text if isinstance(value, Moment) else value


def epoch_ms(value: Value, position: int) -> int:
    """Milliseconds since the epoch: of a moment, of a text that is a time, or of a number of them.

    Raises :class:`RqlError`, about ``position``, for any other value.
    """
    if isinstance(value, Moment):
        return value.epoch_ms
    found = parse_timestamp(value.value if isinstance(value, Guessed) else value)
    if found is None and isinstance(value, str):
        found = _lenient_ms(value)
    if found is None:
        raise RqlError("A time is expected, such as 2026-01-01T00:00:00.000Z or epoch milliseconds", position)
    return found


def _lenient_ms(text: str) -> int | None:
    """Milliseconds since the epoch of a day alone (its midnight), a time without a zone (both UTC), or one whose offset
    lacks its colon: compared with a time they mean but one thing, while in a document they may well be a name."""
    if _DAY.fullmatch(text):
        return parse_rfc3339(f"{text}T00:00:00Z")
    if _NO_ZONE.fullmatch(text):
        return parse_rfc3339(f"{text}Z")
    written = _NO_COLON.fullmatch(text)
    return None if written is None else parse_rfc3339(f"{written[1]}:{written[2]}")
