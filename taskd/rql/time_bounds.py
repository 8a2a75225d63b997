"""For endpoints that understand only a part of the language."""

from taskd.rql.coerce import epoch_ms
from taskd.rql.errors import RqlError
from taskd.rql.operators import COMPARISONS
from taskd.rql.query import Compare, Group, Node, Query


def single_lower_bound(query: Query, field: str) -> int | None:
    """The time from which on ``query`` asks for records, in epoch milliseconds; ``None`` if it does not say.

    Raises :class:`RqlError` for any filter but ``ge`` on ``field``, and for sorting and selecting.
    """
    return max((moment for _, moment in _bounds(query, field, ("ge",))), default=None)


def time_window(query: Query, field: str) -> tuple[int | None, int | None]:
    """The times from which on and up to which ``query`` asks for records, like :func:`single_lower_bound`."""
    bounds = _bounds(query, field, ("ge", "le"))
    since_ms = max((moment for op, moment in bounds if op == "ge"), default=None)
    until_ms = min((moment for op, moment in bounds if op == "le"), default=None)
    return since_ms, until_ms


def _bounds(query: Query, field: str, ops: tuple[str, ...]) -> list[tuple[str, int]]:
    if query.sort or query.select:
        raise RqlError("sort and select are not supported here", 0)
    where = query.where
    conditions = where.conditions if isinstance(where, Group) and where.op == "and" else (where,)
    return [_bound(node, field, ops) for node in conditions if node is not None]


def _bound(node: Node, field: str, ops: tuple[str, ...]) -> tuple[str, int]:
    if isinstance(node, Compare) and node.op in ops and node.path == (field,):
        return node.op, epoch_ms(node.value, node.position)
    supported = " and ".join(f"{field}{COMPARISONS[op].sign}…" for op in ops)
    raise RqlError(f"Only {supported} with a time is supported here", _position(node))


def _position(node: Node) -> int:
    while isinstance(node, Group):
        node = node.conditions[0]
    return node.position
