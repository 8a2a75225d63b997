"""Filters and orders as SQL, for any resource. Nothing of a query but its structure gets into the text of the SQL."""

from collections.abc import Sequence
from typing import TypeVar, cast

from msgspec.structs import replace

from taskd.rql.coerce import Kind, coerce
from taskd.rql.evaluate import matches
from taskd.rql.operators import COMPARISONS
from taskd.rql.query import Compare, Contains, Group, Member, Node, SortKey
from taskd.store.embedded.catalogue.sql.comparisons import number_test, text_test
from taskd.store.embedded.catalogue.sql.documents import document_order, document_test
from taskd.store.embedded.catalogue.sql.fields import Field, Resource
from taskd.store.embedded.catalogue.sql.fragment import FALSE, TRUE, Fragment, constant, joined, listed, negated

_Condition = TypeVar("_Condition", bound=Compare | Member | Contains)
_DOCUMENTS = (Kind.JSON, Kind.JSON_OF_TEXTS)


def compile_filter(where: Node | None, resource: Resource) -> Fragment:
    """What holds of the records that satisfy ``where``, which may be all.

    Raises ``RqlError`` where a field is compared with what it cannot be compared with.
    """
    return TRUE if where is None else _condition(where, resource)


def compile_order(sort: Sequence[SortKey], resource: Resource) -> Fragment:
    """What to order by: the keys, then what breaks ties between them; without keys, the order of creation."""
    if not sort:
        return Fragment(resource.oldest_first)
    terms = [term for key in sort for term in _order(key, resource)]
    return listed([*terms, Fragment(resource.sequence)])


def _condition(node: Node, resource: Resource) -> Fragment:
    if isinstance(node, Group):
        return joined("AND" if node.op == "and" else "OR", [_condition(part, resource) for part in node.conditions])
    opposite = _opposite(node)
    return _positive(node, resource) if opposite is None else negated(_positive(opposite, resource))


def _opposite(node: _Condition) -> _Condition | None:
    """The condition that ``node`` is the negation of, if it is one."""
    if isinstance(node, Contains):
        return replace(node, negated=False) if node.negated else None
    negates = COMPARISONS[node.op].negates
    return None if negates is None else replace(node, op=negates)


def _positive(node: Compare | Member | Contains, resource: Resource) -> Fragment:
    field = resource.fields.get(node.path[0])
    if field is None or (len(node.path) > 1 and field.kind not in _DOCUMENTS):
        return constant(matches(coerce(node, Kind.JSON), ()))
    if field.kind in _DOCUMENTS:
        return document_test(field.column, _coerced(replace(node, path=node.path[1:]), field.kind))
    if isinstance(node, Contains):
        return Fragment(f"{field.column} IS NOT NULL") if node.condition is None else FALSE
    return _scalar_test(field, _coerced(node, field.kind))


def _scalar_test(field: Field, node: Compare | Member) -> Fragment:
    test = text_test if field.kind is Kind.TEXT else number_test
    found = test(node, Fragment(field.column))
    if None not in node.values:
        return found
    is_null = Fragment(f"{field.column} IS NULL")
    return is_null if found == FALSE else joined("OR", [found, is_null])


def _coerced(node: _Condition, kind: Kind) -> _Condition:
    return cast(_Condition, coerce(node, kind))


def _order(key: SortKey, resource: Resource) -> list[Fragment]:
    field = resource.fields.get(key.path[0])
    if field is None:
        return []
    direction = " DESC" if key.descending else ""
    if field.kind in _DOCUMENTS:
        return [term + direction for term in document_order(field.column, key.path[1:])]
    return [Fragment(field.column + direction)] if len(key.path) == 1 else []
