"""Whether a listing finds its way by indexes, or has to look at one record after the other."""

import sqlite3

from msgspec import Struct
from msgspec.structs import replace

from taskd.rql.operators import COMPARISONS
from taskd.rql.query import Contains, Group, Node, Path, Pattern, Query
from taskd.store.embedded.catalogue import counts
from taskd.store.embedded.catalogue.sql.compile import compile_query
from taskd.store.embedded.catalogue.sql.fields import Resource
from taskd.store.embedded.catalogue.sql.fragment import Fragment


def scans(query: Query, resource: Resource) -> bool:
    """Whether the time that ``query`` takes grows with all there is, and not with the page."""
    paths = [key.path for key in query.sort]
    is_ordered = not paths or (len(paths) == 1 and _has_index(paths[0], resource))
    return not is_ordered or not (query.where is None or is_looked_up(query.where, resource))


def is_looked_up(node: Node, resource: Resource) -> bool:
    """Whether an index leads to what satisfies ``node``."""
    if isinstance(node, Group):
        return all(is_looked_up(condition, resource) for condition in node.conditions)
    if isinstance(node, Contains) or not _has_index(node.path, resource):
        return False
    comparison = COMPARISONS[node.op]
    has_order = comparison.sign is not None and comparison.negates is None
    return has_order and not any(isinstance(value, Pattern) for value in node.values)


def _has_index(path: Path, resource: Resource) -> bool:
    field = resource.fields.get(path[0])
    return field is not None and field.indexed and len(path) == 1


class Choice(Struct, frozen=True):
    """Two ways to the same tasks."""

    ways: tuple[Resource, Resource]
    """The resource to compile a query for, so that it goes by function, and by status."""
    question: Fragment

    def shorter(self, connection: sqlite3.Connection) -> int:
        """The index of the way with fewer tasks to look at."""
        answer: int = connection.execute(self.question.text, self.question.params).fetchone()[0]
        return answer


def choice_of(where: Node | None, resource: Resource) -> Choice | None:
    """The choice that a query with the filter ``where`` has, if it has one."""
    of_statuses, of_functions = (_tasks_of(name, where, resource) for name in ("status", "functionName"))
    if of_statuses is None or of_functions is None:
        return None
    question = "SELECT " + of_statuses + " < " + of_functions + f" FROM {counts.TABLE}"
    return Choice((_unindexed("status", resource), _unindexed("functionName", resource)), question)


def _tasks_of(name: str, where: Node | None, resource: Resource) -> Fragment | None:
    """The number of tasks that the index of the field ``name`` leads to, if the filter makes use of it."""
    conditions = where.conditions if isinstance(where, Group) and where.op == "and" else ()
    of_field = (node for node in conditions if not isinstance(node, Group) and node.path == (name,))
    lookups = tuple(node for node in of_field if is_looked_up(node, resource))
    if not lookups:
        return None
    compiled = compile_query(Query(where=Group("and", lookups)), resource)
    return Fragment(f"total(tasks) FILTER (WHERE {compiled.where_sql})", compiled.params)


def _unindexed(name: str, resource: Resource) -> Resource:
    """``resource``, but SQL that is compiled for it looks up nothing by the field ``name``."""
    field = resource.fields[name]
    # a column behind a plus is an expression to SQLite, of the same value and without an index
    return replace(resource, fields={**resource.fields, name: replace(field, column=f"+{field.column}")})
