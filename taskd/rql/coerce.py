"""Settles what values stand for once it is known what kind of field they are compared with."""

from msgspec.structs import replace

from taskd.model.timestamps import parse_timestamp
from taskd.rql.errors import RqlError
from taskd.rql.query import Compare, Contains, Group, Guessed, Member, Moment, Node, Pattern, Value

_ORDERING = ("gt", "ge", "lt", "le")


def plain(node: Node, *, texts_only: bool) -> Node:
    """``node`` with nothing but JSON scalars and patterns for values; what was guessed is text if ``texts_only``.

    Raises :class:`RqlError` where something is ordered by a value that has no order.
    """
    match node:
        case Group():
            conditions = (plain(condition, texts_only=texts_only) for condition in node.conditions)
            return replace(node, conditions=tuple(conditions))
        case Contains():
            below = node.condition
            return node if below is None else replace(node, condition=plain(below, texts_only=texts_only))
        case Member():
            return replace(node, values=tuple(_plain_value(value, texts_only=texts_only) for value in node.values))
        case Compare():
            value = _plain_value(node.value, texts_only=texts_only)
            if node.op in _ORDERING and (value is None or isinstance(value, bool | Pattern)):
                raise RqlError(f"{node.op} expects a number, a text or a time", node.position)
            return replace(node, value=value)


def _plain_value(value: Value, *, texts_only: bool) -> Value:
    if isinstance(value, Guessed):
        return value.text if texts_only else value.value
    return value.text if isinstance(value, Moment) else value


def epoch_ms(value: Value, position: int) -> int:
    """Milliseconds since the epoch: of a moment, of a text that is an RFC 3339 timestamp, or of a number of them.

    Raises :class:`RqlError`, about ``position``, for any other value.
    """
    if isinstance(value, Moment):
        return value.epoch_ms
    found = parse_timestamp(value.value if isinstance(value, Guessed) else value)
    if found is None:
        raise RqlError("A time is expected, such as 2026-01-01T00:00:00.000Z or epoch milliseconds", position)
    return found
