"""Which index a listing goes by that asks for functions and for statuses.

There is an index for either. SQLite takes one status to be as common as another, but what waits or runs is little
beside what has ended: only the counts can tell.
"""

import sqlite3

from msgspec import Struct
from msgspec.structs import replace

from taskd.rql.query import Group, Node, Query
from taskd.store.embedded.catalogue import counts
from taskd.store.embedded.catalogue.sql.compile import compile_query
from taskd.store.embedded.catalogue.sql.fields import Resource
from taskd.store.embedded.catalogue.sql.pieces import Sql
from taskd.store.embedded.catalogue.sql.planning import is_looked_up


class Choice(Struct, frozen=True):
    """Two ways to the same tasks."""

    ways: tuple[Resource, Resource]
    """The resource to compile a query for, so that it goes by function, and by status."""
    question: Sql

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


def _tasks_of(name: str, where: Node | None, resource: Resource) -> Sql | None:
    """The number of tasks that the index of the field ``name`` leads to, if the filter makes use of it."""
    conditions = where.conditions if isinstance(where, Group) and where.op == "and" else ()
    of_field = (node for node in conditions if not isinstance(node, Group) and node.path == (name,))
    lookups = tuple(node for node in of_field if is_looked_up(node, resource))
    if not lookups:
        return None
    compiled = compile_query(Query(where=Group("and", lookups)), resource)
    return Sql(f"total(tasks) FILTER (WHERE {compiled.where_sql})", compiled.params)


def _unindexed(name: str, resource: Resource) -> Resource:
    """``resource``, but SQL that is compiled for it looks up nothing by the field ``name``."""
    field = resource.fields[name]
    # a column behind a plus is an expression to SQLite, of the same value and without an index
    return replace(resource, fields={**resource.fields, name: replace(field, column=f"+{field.column}")})
