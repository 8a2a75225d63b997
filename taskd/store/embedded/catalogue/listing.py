"""Pages of listings: what a query finds in a table, with the number of all that it finds.

A page comes as one value. Fetched row by row, it would take the interpreter's lock for each row, and beside a busy
event loop wait for it each time.
"""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from taskd.rql.query import Query
from taskd.store.base import Page
from taskd.store.embedded.catalogue import counts
from taskd.store.embedded.catalogue.sql.compile import Compiled, compile_query
from taskd.store.embedded.catalogue.sql.fields import Resource
from taskd.store.embedded.catalogue.sql.fragment import Parameter
from taskd.store.embedded.catalogue.sql.indexes import choice_of

T = TypeVar("T")
_decode_rows = msgspec.json.Decoder(list[tuple[Any, ...]]).decode


class Table(Struct, frozen=True):
    """Where the records of a resource are."""

    name: str
    columns: Sequence[str]
    resource: Resource
    small_sql: str = "1"
    """True of a row that may be in memory twice for a moment."""
    is_counted: bool = False
    """Whether :mod:`taskd.store.embedded.catalogue.counts` are of this table."""


class _Statements(Struct, frozen=True):
    """What gives a page."""

    packed_sql: str
    """One row: the small records as JSON, how many are on the page, and the number of all that is found, or NULL."""
    packed_params: tuple[Parameter, ...]
    rows_sql: str
    """The records one by one, for a page on which not all are small."""
    rows_params: tuple[Parameter, ...]

    def rows(self, connection: sqlite3.Connection) -> tuple[Sequence[tuple[Any, ...]], int | None]:
        """The page's rows, and the number of all that is found, if it was asked for."""
        packed, found, total = connection.execute(self.packed_sql, self.packed_params).fetchone()
        rows: Sequence[tuple[Any, ...]] = _decode_rows(packed)
        if len(rows) < found:
            rows = connection.execute(self.rows_sql, self.rows_params).fetchall()
        return rows, total


def page_of(
    query: Query, table: Table, record_of: Callable[[tuple[Any, ...]], T]
) -> Callable[[sqlite3.Connection], Page[T]]:
    """The page of ``table`` that ``query`` asks for, each row turned into a record by ``record_of``.

    A query that makes no sense raises ``INVALID_RQL`` here, before any connection is taken.
    """
    choice = choice_of(query.where, table.resource) if table.is_counted else None
    resources = (table.resource,) if choice is None else choice.ways
    ways = [_statements(query, table, resource) for resource in resources]

    def read(connection: sqlite3.Connection) -> Page[T]:
        way = 0 if choice is None else choice.shorter(connection)
        rows, total = ways[way].rows(connection)
        return Page([record_of(row) for row in rows], total)

    return read


def _statements(query: Query, table: Table, resource: Resource) -> _Statements:
    compiled = compile_query(query, resource)
    found_sql = _found_sql(table, compiled)
    columns = ", ".join(table.columns)
    packed = f"json_group_array(json_array({columns})) FILTER (WHERE {table.small_sql})"
    of_page = (*compiled.params, *compiled.order_params, query.limit, query.offset)
    return _Statements(
        packed_sql=f"SELECT {packed}, count(*), {_count_sql(query, table, compiled)} {found_sql}",
        packed_params=of_page if query.skip_count else (*compiled.params, *of_page),
        rows_sql=f"SELECT {columns} {found_sql}",
        rows_params=of_page,
    )


def _found_sql(table: Table, compiled: Compiled) -> str:
    """The page's rows in their order. They are looked up last: what is sorted and skipped may be in an index."""
    name = table.name
    return (
        f"FROM (SELECT rowid AS place FROM {name} WHERE {compiled.where_sql} ORDER BY {compiled.order_sql} "
        f"LIMIT ? OFFSET ?) CROSS JOIN {name} ON {name}.rowid = place"
    )


def _count_sql(query: Query, table: Table, compiled: Compiled) -> str:
    if query.skip_count:
        return "NULL"
    if table.is_counted and counts.are_enough_for(query.where):
        return f"(SELECT ifnull(sum(tasks), 0) FROM {counts.TABLE} WHERE {compiled.where_sql})"
    return f"(SELECT count(*) FROM {table.name} WHERE {compiled.where_sql})"
