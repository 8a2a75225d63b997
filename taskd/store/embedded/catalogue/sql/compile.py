"""Compiles a query into SQL for any resource. Nothing of a query but its structure gets into the text of the SQL."""

from typing import TypeVar, cast

from msgspec import Struct
from msgspec.structs import replace

from taskd.rql.coerce import Kind, coerce
from taskd.rql.evaluate import matches
from taskd.rql.operators import COMPARISONS
from taskd.rql.query import Compare, Contains, Group, Member, Node, Query, SortKey
from taskd.store.embedded.catalogue.sql.comparisons import number_test, text_test
from taskd.store.embedded.catalogue.sql.documents import document_order, document_test
from taskd.store.embedded.catalogue.sql.fields import Field, Resource
from taskd.store.embedded.catalogue.sql.fragment import FALSE, TRUE, Fragment, Parameter, constant, joined, negated

_Condition = TypeVar("_Condition", bound=Compare | Member | Contains)
_DOCUMENTS = (Kind.JSON, Kind.JSON_OF_TEXTS)


class Compiled(Struct, frozen=True):
    """A query as pieces of SQL.

    ``params`` belong to ``where_sql``, then ``order_params`` to ``order_sql``; counting takes the former only.
    The connection needs the functions of ``user_functions.register_functions``.
    """

    where_sql: str
    params: tuple[Parameter, ...]
    order_sql: str
    order_params: tuple[Parameter, ...]
    limit: int
    offset: int


def compile_query(query: Query, resource: Resource) -> Compiled:
    """The SQL for ``query``. Raises ``RqlError`` where a field is compared with what it cannot be compared with."""
    where = TRUE if query.where is None else _condition(query.where, resource)
    terms = [term for key in query.sort for term in _order(key, resource)]
    order_sql = ", ".join([*(term.text for term in terms), resource.sequence]) if query.sort else resource.oldest_first
    order_params = tuple(param for term in terms for param in term.params)
    return Compiled(where.text, where.params, order_sql, order_params, query.limit, query.offset)


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
