"""What indexes answer: whether a query finds its way by them or looks at every record, and by which of two to go."""

from msgspec import Struct
from msgspec.structs import replace

from taskd.rql.operators import COMPARISONS
from taskd.rql.query import Contains, Group, Node, Path, Pattern, Query
from taskd.store.embedded.catalogue.sql.compile import compile_filter
from taskd.store.embedded.catalogue.sql.fields import KeptCounts, Resource
from taskd.store.embedded.catalogue.sql.fragment import Fragment


def scans(query: Query, resource: Resource) -> bool:
    """Whether the time that ``query`` takes grows with all there is, and not with the page."""
    paths = [key.path for key in query.sort]
    is_ordered = not paths or (len(paths) == 1 and _has_index(paths[0], resource))
    return not is_ordered or not (query.where is None or _is_index_lookup(query.where, resource))


def _is_index_lookup(node: Node, resource: Resource) -> bool:
    """Whether an index leads to what satisfies ``node``."""
    if isinstance(node, Group):
        return all(_is_index_lookup(condition, resource) for condition in node.conditions)
    if isinstance(node, Contains) or not _has_index(node.path, resource):
        return False
    return COMPARISONS[node.op].is_relation and not any(isinstance(value, Pattern) for value in node.values)


def _has_index(path: Path, resource: Resource) -> bool:
    field = resource.fields.get(path[0])
    return field is not None and field.indexed and len(path) == 1


class AlternativeIndexes(Struct, frozen=True):
    """Two indexes that lead to the same records. SQLite's planner does not know which leaves fewer to look at."""

    resources: tuple[Resource, Resource]
    """The resource to compile the query for, so that it goes by the one index, and by the other."""
    count_query: Fragment
    """0 if the first index leaves fewer records to look at, or as few; else 1."""


def alternative_indexes(where: Node | None, resource: Resource, counts: KeptCounts) -> AlternativeIndexes | None:
    """The indexes to choose from for a filter, if it uses those of both fields that the counts are kept by."""
    first, second = counts.fields
    of_first, of_second = (_count_of(name, where, resource, counts) for name in counts.fields)
    if of_first is None or of_second is None:
        return None
    count_query = "SELECT " + of_second + " < " + of_first + f" FROM {counts.table}"
    return AlternativeIndexes((_without_index(second, resource), _without_index(first, resource)), count_query)


def _count_of(name: str, where: Node | None, resource: Resource, counts: KeptCounts) -> Fragment | None:
    """The number of records that the index of the field ``name`` leads to, if the filter makes use of it."""
    conditions = where.conditions if isinstance(where, Group) and where.op == "and" else ()
    of_field = (node for node in conditions if not isinstance(node, Group) and node.path == (name,))
    lookups = tuple(node for node in of_field if _is_index_lookup(node, resource))
    if not lookups:
        return None
    return f"total({counts.column}) FILTER (WHERE " + compile_filter(Group("and", lookups), resource) + ")"


def _without_index(name: str, resource: Resource) -> Resource:
    """``resource``, but SQL that is compiled for it looks up nothing by the field ``name``."""
    field = resource.fields[name]
    # a column behind a plus is an expression to SQLite, of the same value and without an index
    return replace(resource, fields={**resource.fields, name: replace(field, column=f"+{field.column}")})
