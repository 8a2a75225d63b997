"""A listing: what a query finds in a table, one page of it and the number of all."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from taskd.rql.query import Query, conditions
from taskd.store.base import Page
from taskd.store.embedded.catalogue.sql.lookups import FEW, IndexedValues
from taskd.store.embedded.catalogue.sql.planning import PageStatements, Table, lookup_pages, plan

T = TypeVar("T")
P = TypeVar("P")
_FEW_CONDITIONS = 30
"""Of the dearest kind they take 1.5 ms, which is some ten times what it takes to go to a thread and back."""
_decode_rows = msgspec.json.Decoder(list[tuple[Any, ...]]).decode


class Listing(Generic[T]):
    """The page of a table that a query asks for, ready to be read on a connection, as often as it is called."""

    def __init__(
        self,
        query: Query,
        table: Table,
        record_of: Callable[[tuple[Any, ...]], T],
        index: IndexedValues | None = None,
    ) -> None:
        """Each row is turned into a record by ``record_of``. A query that makes no sense raises ``INVALID_RQL``."""
        self._query, self._table = query, table
        self._plan = plan(query, table, index)
        self._record_of = record_of
        self._lookup: PageStatements | None = None

    @property
    def scans(self) -> bool:
        """Whether the time that it takes grows with all there is, and not with the page."""
        return self._plan.scans and self._lookup is None

    @property
    def has_lookups(self) -> bool:
        """Whether :meth:`choose` may find a way by what is indexed."""
        return bool(self._plan.lookups)

    def choose(self, connection: sqlite3.Connection) -> None:
        """Has the page be read by the index on values that leads to least, if that is little."""
        by_values = lookup_pages(self._query, self._table, self._plan.lookups)
        sizes = connection.execute(by_values.sizes.text, by_values.sizes.params).fetchone()
        if (least := min(sizes)) <= FEW:
            self._lookup = by_values.pages[sizes.index(least)]

    def __call__(self, connection: sqlite3.Connection) -> Page[T]:
        """Reads the page. A number instead of the text in the last column says how long the text is that is apart."""
        rows, total = _read(connection, self._chosen(connection))
        apart = {place: row[-1] for place, row in enumerate(rows) if isinstance(row[-1], int)}
        return Page([self._record_of(row) for row in rows], total, apart, self.scans)

    def _chosen(self, connection: sqlite3.Connection) -> PageStatements:
        if self._lookup is not None:
            return self._lookup
        alternatives, count_query = self._plan.alternatives, self._plan.count_query
        if count_query is None:
            return alternatives[0]
        best: int = connection.execute(count_query.text, count_query.params).fetchone()[0]
        return alternatives[best]


async def prepared(prepare: Callable[[], P], query: Query) -> P:
    """What ``prepare`` gives, which makes SQL of ``query``; many conditions keep the event loop for too long."""
    return prepare() if conditions(query.where) <= _FEW_CONDITIONS else await asyncio.to_thread(prepare)


def _read(connection: sqlite3.Connection, page: PageStatements) -> tuple[Sequence[tuple[Any, ...]], int | None]:
    """The page's rows, and the number of all that is found, if it was asked for."""
    packed, found, total = connection.execute(page.packed.text, page.packed.params).fetchone()
    rows: Sequence[tuple[Any, ...]] = _decode_rows(packed)
    if len(rows) < found:
        rows = connection.execute(page.rows.text, page.rows.params).fetchall()
    return rows, total
