"""For endpoints that understand only a part of the language."""

from taskd.rql.errors import RqlError
from taskd.rql.query import Compare, Group, Node, Query
from taskd.rql.times import epoch_ms


def single_lower_bound(query: Query, field: str) -> int | None:
    """The time from which on ``query`` asks for records, in epoch milliseconds; ``None`` if it does not say.

    Raises :class:`RqlError` for any filter but ``ge`` on ``field``, and for sorting and selecting.
    """
    if query.sort or query.select:
        raise RqlError("sort and select are not supported here", 0)
    where = query.where
    conditions = where.conditions if isinstance(where, Group) and where.op == "and" else (where,)
    return max((_bound(node, field) for node in conditions if node is not None), default=None)


def _bound(node: Node, field: str) -> int:
    if isinstance(node, Compare) and (node.op, node.path) == ("ge", (field,)):
        return epoch_ms(node.value, node.position)
    raise RqlError(f"Only {field}>=… with a time is supported here", _position(node))


def _position(node: Node) -> int:
    while isinstance(node, Group):
        node = node.conditions[0]
    return node.position
