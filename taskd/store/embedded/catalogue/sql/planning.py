"""From a query to the statements that give a page of a table, and to what tells which of them to run.

A page comes as one value. Fetched row by row, it would take the interpreter's lock for each row, and beside a busy
event loop wait for it each time.
"""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from taskd.rql.query import Contains, Group, Node, Query
from taskd.store.embedded.catalogue.sql.compile import compile_filter, compile_order
from taskd.store.embedded.catalogue.sql.fields import KeptCounts, Resource
from taskd.store.embedded.catalogue.sql.fragment import Fragment, listed
from taskd.store.embedded.catalogue.sql.indexes import alternative_indexes, scans
from taskd.store.embedded.catalogue.sql.lookups import IndexedValues, Lookup, lookups, size


class Table(Struct, frozen=True):
    """Where the records of a resource are."""

    name: str
    columns: Sequence[str]
    resource: Resource
    small_sql: str = "1"
    """True of a row that may be in memory twice for a moment."""
    counts: KeptCounts | None = None

    def with_apart(self, column: str, from_bytes: int) -> "Table":
        """The same table, where long texts of a column, from ``from_bytes`` on, are not read: their lengths are."""
        length = f"length(CAST({column} AS BLOB))"  # the cast moves nothing, and counting bytes is dearer without it
        read = f"iif({length} < {from_bytes:d}, {column}, {length})"
        columns = [read if name == column else name for name in self.columns]
        return replace(self, columns=columns, small_sql="1")


class PageStatements(Struct, frozen=True):
    """What gives a page."""

    packed: Fragment
    """One row: the small records as JSON, how many are on the page, and the number of all that is found, or NULL."""
    rows: Fragment
    """The records one by one, for a page on which not all are small."""


class Plan(Struct, frozen=True):
    """How to get a page."""

    alternatives: tuple[PageStatements, ...]
    """Each gives the same page."""
    count_query: Fragment | None
    """The index of the alternative that leaves fewest records to look at, if there is more than one."""
    scans: bool
    """Whether the time that it takes grows with all there is, and not with the page."""
    lookups: tuple[Lookup, ...] = ()
    """Others may give the same page, and look at nothing but what one of these leads to."""


class LookupPages(Struct, frozen=True):
    """Pages by lookups, as things are now."""

    pages: tuple[PageStatements, ...]
    """Each gives the same page, of all that a newer view of the data shows."""
    sizes: Fragment
    """A row with how much each of them looks at, up to a limit."""


def plan(query: Query, table: Table, index: IndexedValues | None = None) -> Plan:
    """The plan of the page of ``table`` that ``query`` asks for. Raises ``RqlError`` where it makes no sense.

    ``index`` is on values inside of JSON.
    """
    by_values = () if index is None else lookups(query.where, table.resource, index)
    indexes = None if table.counts is None else alternative_indexes(query.where, table.resource, table.counts)
    resources = (table.resource,) if indexes is None else indexes.resources
    return Plan(
        alternatives=tuple(_page_statements(query, table, resource) for resource in resources),
        count_query=None if indexes is None else indexes.count_query,
        scans=scans(query, table.resource),
        lookups=tuple(by_values),
    )


def lookup_pages(query: Query, table: Table, by_values: Sequence[Lookup]) -> LookupPages:
    """The page of ``table`` that ``query`` asks for, by each of the lookups in its plan."""
    found = [lookup.sequences() for lookup in by_values]
    pages = tuple(_page_statements(query, table, table.resource, sequences) for sequences in found)
    return LookupPages(pages, "SELECT " + listed([size(sequences) for sequences in found]))


def _page_statements(query: Query, table: Table, resource: Resource, led_to: Fragment | None = None) -> PageStatements:
    """What is on the page is looked up last: what is sorted and skipped may be in an index."""
    where, order = compile_filter(query.where, resource), compile_order(query.sort, resource)
    name, columns = table.name, ", ".join(table.columns)
    source = Fragment(name) if led_to is None else _led_to(led_to, table)
    window = Fragment(" LIMIT ? OFFSET ?", (query.limit, query.offset))
    places = f"(SELECT {name}.rowid AS place FROM " + source + " WHERE " + where + " ORDER BY " + order + window + ")"
    found = " FROM " + places + f" CROSS JOIN {name} ON {name}.rowid = place"
    packed = f"SELECT json_group_array(json_array({columns})) FILTER (WHERE {table.small_sql}), count(*), "
    total = _total(query, table, where, source)
    return PageStatements(packed + total + found, f"SELECT {columns}" + found)


def _led_to(sequences: Fragment, table: Table) -> Fragment:
    """The records that an index leads to. The order of a cross join is what SQLite leaves as it is."""
    numbers = "(SELECT DISTINCT found_seq FROM (" + sequences + "))"
    return numbers + f" CROSS JOIN {table.name} ON {table.name}.{table.resource.sequence} = found_seq"


def _total(query: Query, table: Table, where: Fragment, source: Fragment) -> Fragment:
    if query.skip_count:
        return Fragment("NULL")
    if table.counts is not None and _are_counted(query.where, table.counts.fields):
        return f"(SELECT ifnull(sum({table.counts.column}), 0) FROM {table.counts.table} WHERE " + where + ")"
    return "(SELECT count(*) FROM " + source + " WHERE " + where + ")"


def _are_counted(where: Node | None, fields: Sequence[str]) -> bool:
    """Whether counts by ``fields`` tell how many records satisfy ``where``: each condition is on one of these."""
    match where:
        case None:
            return True
        case Group():
            return all(_are_counted(condition, fields) for condition in where.conditions)
        case Contains() if where.condition is not None:
            return False
        case _:
            return len(where.path) == 1 and where.path[0] in fields
