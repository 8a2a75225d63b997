"""Finding what is all in memory: records as JSON-like documents, tried one by one, within a time limit."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from msgspec.structs import replace

from taskd.model.errors import LONG_QUERY, ContractError
from taskd.model.limits import LISTING_TIME_LIMIT_S
from taskd.rql.coerce import Kind, coerce
from taskd.rql.errors import RqlError
from taskd.rql.evaluate import matches, scalar_at
from taskd.rql.matcher import SearchCancelledError
from taskd.rql.query import Group, Node, Path, Query

T = TypeVar("T")
Document = Mapping[str, Any]
"""A record as a query sees it: times are integers of milliseconds."""
Kinds = Mapping[str, Kind]
"""What the fields of a document hold; those that are not there cannot be asked for."""


class Found(NamedTuple, Generic[T]):
    """The records of a page, and how many the query finds in all."""

    rows: list[T]
    total: int | None


def find(records: Iterable[T], document: Callable[[T], Document], kinds: Kinds, query: Query) -> Found[T]:
    """The page that ``query`` asks for, in the order of ``records`` unless it sorts.

    :raises ContractError: ``INVALID_RQL``; ``LONG_QUERY`` if it takes too long.
    """
    for key in query.sort:
        require_field(kinds, key.path, 0)
    found = matching(records, document, kinds, query.where)
    for key in reversed(query.sort):
        found.sort(key=lambda each: rank(document(each), key.path), reverse=key.descending)
    page = found[query.offset : query.offset + query.limit]
    return Found(page, None if query.skip_count else len(found))


def matching(records: Iterable[T], document: Callable[[T], Document], kinds: Kinds, where: Node | None) -> list[T]:
    """Every record that ``where`` holds for; raises as :func:`find` does."""
    if where is None:
        return list(records)
    deadline_s, wanted = time.monotonic() + LISTING_TIME_LIMIT_S, coerced(where, kinds)
    try:
        return [each for each in records if matches(wanted, (document(each),), lambda: time.monotonic() > deadline_s)]
    except SearchCancelledError:
        raise ContractError(LONG_QUERY, f"The query took over {LISTING_TIME_LIMIT_S:g} s. Narrow it down.") from None


def coerced(node: Node, kinds: Kinds) -> Node:
    """``node`` with its values as the kinds of its fields have them.

    :raises RqlError: it asks for a field that there is not, or compares one with what it cannot be compared with.
    """
    if isinstance(node, Group):
        return replace(node, conditions=tuple(coerced(condition, kinds) for condition in node.conditions))
    require_field(kinds, node.path, node.position)
    return coerce(node, kinds[node.path[0]])


def require_field(kinds: Kinds, path: Path, position: int) -> None:
    """Raises :class:`RqlError`, about ``position``, unless there is such a field."""
    if path[0] not in kinds:
        raise RqlError(f"There is no field {path[0]}; there are {', '.join(sorted(kinds))}", position)


def rank(document: Document, path: Path) -> tuple[int, Any]:
    """Where a document stands in the order by ``path``: those without a value come first, then numbers, then texts."""
    value = scalar_at(document, path)
    return (0, 0) if value is None else (1, value) if isinstance(value, int) else (2, value)
