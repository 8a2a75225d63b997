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
from taskd.store.embedded.catalogue.sql.lookups import NO_FIELDS, FieldNumbers, Lookup, lookups


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
    lookups: tuple[PageStatements, ...] = ()
    """Others that give the same page, and look at nothing but what an index on values leads to."""
    lookup_sizes: Fragment | None = None
    """A row with how much that is for each of them, up to a limit."""


def plan(query: Query, table: Table, value_fields: FieldNumbers = NO_FIELDS) -> Plan:
    """The plan of the page of ``table`` that ``query`` asks for. Raises ``RqlError`` where it makes no sense.

    ``value_fields`` are those inside of JSON that have an index.
    """
    by_values = lookups(query.where, table.resource, value_fields) if value_fields else []
    indexes = None if table.counts is None else alternative_indexes(query.where, table.resource, table.counts)
    resources = (table.resource,) if indexes is None else indexes.resources
    return Plan(
        alternatives=tuple(_page_statements(query, table, resource) for resource in resources),
        count_query=None if indexes is None else indexes.count_query,
        scans=scans(query, table.resource),
        lookups=tuple(_page_statements(query, table, table.resource, each) for each in by_values),
        lookup_sizes="SELECT " + listed([each.size() for each in by_values]) if by_values else None,
    )


def _page_statements(query: Query, table: Table, resource: Resource, lookup: Lookup | None = None) -> PageStatements:
    """What is on the page is looked up last: what is sorted and skipped may be in an index."""
    where, order = compile_filter(query.where, resource), compile_order(query.sort, resource)
    name, columns = table.name, ", ".join(table.columns)
    source = Fragment(name) if lookup is None else _led_to(lookup, table)
    window = Fragment(" LIMIT ? OFFSET ?", (query.limit, query.offset))
    places = f"(SELECT {name}.rowid AS place FROM " + source + " WHERE " + where + " ORDER BY " + order + window + ")"
    found = " FROM " + places + f" CROSS JOIN {name} ON {name}.rowid = place"
    packed = f"SELECT json_group_array(json_array({columns})) FILTER (WHERE {table.small_sql}), count(*), "
    total = _total(query, table, where, source)
    return PageStatements(packed + total + found, f"SELECT {columns}" + found)


def _led_to(lookup: Lookup, table: Table) -> Fragment:
    """The records that an index leads to. The order of a cross join is what SQLite leaves as it is."""
    numbers = "(SELECT DISTINCT found_seq FROM (" + lookup.sequences + "))"
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
