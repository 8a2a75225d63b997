"""Queries over records that are few and live in memory: a listing hands them to SQLite, so that a query means the same
for them as for anything else, and no table has to be kept in step."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from taskd.rql.query import Query
from taskd.store.base import Page
from taskd.store.embedded.catalogue.sql.compile import compile_filter, compile_order
from taskd.store.embedded.catalogue.sql.fields import Resource

T = TypeVar("T")


class RecordTable(Generic[T]):
    """What queries see of records of one kind: for each column what is in it, NULL being what the wire leaves out."""

    def __init__(self, resource: Resource, columns: Mapping[str, Callable[[T], Any]]) -> None:
        self._resource = resource
        self._columns = tuple(columns.values())
        values = ", ".join(f"value ->> {index} AS {name}" for index, name in enumerate(columns))
        self._records = f"WITH records AS MATERIALIZED (SELECT key AS seq, {values} FROM json_each(?))"

    def page(self, query: Query, candidates: Sequence[T]) -> Callable[[sqlite3.Connection], Page[T]]:
        """A page of ``candidates``, which are in the order of their creation.

        A query that makes no sense raises ``INVALID_RQL`` here, before any connection is taken.
        """
        where, order = compile_filter(query.where, self._resource), compile_order(query.sort, self._resource)
        found = f"{self._records} SELECT seq FROM records WHERE " + where + " ORDER BY " + order

        def read(connection: sqlite3.Connection) -> Page[T]:
            values = [[value_of(record) for value_of in self._columns] for record in candidates]
            rows = msgspec.json.encode(values).decode()
            places = connection.execute(found.text, (rows, *found.params)).fetchall()
            on_page = [candidates[place] for (place,) in places[query.offset : query.offset + query.limit]]
            return Page(on_page, None if query.skip_count else len(places))

        return read
