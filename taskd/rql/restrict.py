"""For endpoints that understand only a part of the language."""

from taskd.rql.errors import RqlError
from taskd.rql.query import Compare, Group, Node, Query
from taskd.rql.times import epoch_ms


def single_lower_bound(query: Query, field: str) -> int | None:
    """The time from which on ``query`` asks for records, in epoch milliseconds; ``None`` if it has no filter.

    Raises :class:`RqlError` for any filter but one ``ge`` on ``field``, and for sorting and selecting.
    """
    if query.sort or query.select:
        raise RqlError("sort and select are not supported here", 0)
    where = query.where
    if where is None:
        return None
    if not isinstance(where, Compare) or (where.op, where.path) != ("ge", (field,)):
        raise RqlError(f"Only one condition is supported here, ge({field},…)", _position(where))
    return epoch_ms(where.value, where.position)


def _position(node: Node) -> int:
    while isinstance(node, Group):
        node = node.conditions[-1]
    return node.position
