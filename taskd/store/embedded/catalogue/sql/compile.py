"""Compiles a query into SQL for any resource. Nothing of a query but its structure gets into the text of the SQL."""

from typing import TypeVar, cast

from msgspec import Struct
from msgspec.structs import replace

from taskd.rql.coerce import epoch_ms, plain
from taskd.rql.errors import RqlError
from taskd.rql.evaluate import matches
from taskd.rql.query import Compare, Contains, Group, Member, Node, Query, SortKey
from taskd.store.embedded.catalogue.sql.comparisons import number_test, relation, text_test, values_of
from taskd.store.embedded.catalogue.sql.documents import document_order, document_presence, document_test
from taskd.store.embedded.catalogue.sql.fields import Field, Kind, Resource
from taskd.store.embedded.catalogue.sql.fragment import FALSE, TRUE, Parameter, Sql, constant, joined, negated

_Condition = TypeVar("_Condition", bound=Compare | Member | Contains)


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


def _condition(node: Node, resource: Resource) -> Sql:
    match node:
        case Group(op="and"):
            return joined("AND", [_condition(condition, resource) for condition in node.conditions])
        case Group():
            return joined("OR", [_condition(condition, resource) for condition in node.conditions])
        case Compare(op="ne"):
            return negated(_positive(replace(node, op="eq"), resource))
        case Member(op="out"):
            return negated(_positive(replace(node, op="in"), resource))
        case Contains(negated=True):
            return negated(_positive(replace(node, negated=False), resource))
        case _:
            return _positive(node, resource)


def _positive(node: Compare | Member | Contains, resource: Resource) -> Sql:
    field = resource.fields.get(node.path[0])
    is_document = field is not None and field.kind in (Kind.JSON, Kind.JSON_OF_TEXTS)
    if field is None or (len(node.path) > 1 and not is_document):
        return constant(matches(_plain(node), ()))
    if is_document:
        return _document(field, replace(node, path=node.path[1:]))
    if isinstance(node, Contains):
        return Sql(f"{field.column} IS NOT NULL") if node.condition is None else FALSE
    return _time(field.column, node) if field.kind is Kind.TIME else _scalar(field, node)


def _document(field: Field, node: _Condition) -> Sql:
    settled = _plain(node, texts_only=field.kind is Kind.JSON_OF_TEXTS)
    if isinstance(settled, Contains):
        return document_presence(field.column, settled)
    return document_test(field.column, settled)


def _scalar(field: Field, node: Compare | Member) -> Sql:
    settled = _plain(node, texts_only=field.kind is Kind.TEXT)
    test = text_test if field.kind is Kind.TEXT else number_test
    found = test(settled, Sql(field.column))
    if None not in values_of(settled):
        return found
    is_null = Sql(f"{field.column} IS NULL")
    return is_null if found == FALSE else joined("OR", [found, is_null])


def _time(column: str, node: Compare | Member) -> Sql:
    if node.op == "like":
        raise RqlError("like expects a field with text, not a time", node.position)
    return relation(node, Sql(column), [epoch_ms(value, node.position) for value in values_of(node)])


def _plain(node: _Condition, *, texts_only: bool = False) -> _Condition:
    return cast(_Condition, plain(node, texts_only=texts_only))


def _order(key: SortKey, resource: Resource) -> list[Sql]:
    field = resource.fields.get(key.path[0])
    if field is None:
        return []
    direction = " DESC" if key.descending else ""
    if field.kind in (Kind.JSON, Kind.JSON_OF_TEXTS):
        return [term + direction for term in document_order(field.column, key.path[1:])]
    return [Sql(field.column + direction)] if len(key.path) == 1 else []
