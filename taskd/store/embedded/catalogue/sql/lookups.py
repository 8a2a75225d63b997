"""Lookups in the indexes on values inside of JSON: where a condition is on an indexed field, the rows that lead to it.

A lookup finds at least what satisfies its condition. Nothing else is done by it: the condition stays in the filter.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from msgspec import Struct

from taskd.rql.coerce import coerce
from taskd.rql.operators import COMPARISONS
from taskd.rql.query import Compare, Group, Member, Node, Path
from taskd.rql.scalars import comparable, is_number
from taskd.store.embedded.catalogue.sql.fields import Resource
from taskd.store.embedded.catalogue.sql.fragment import Fragment, Parameter, bound, listed

FieldNumbers = Mapping[Path, int]
"""The fields that are indexed, with their numbers in the table."""
NO_FIELDS: FieldNumbers = {}
FEW = 20_000
"""Up to so many rows a lookup is the best way whatever else there is: sorting and testing them takes 50 ms."""
_VALUES_MAX = 100
_NUMBERS_END, _TEXTS_END = "''", "x''"
"""In SQLite's order numbers come first, then texts, then blobs; these are the least text and the least blob."""


class Lookup(Struct, frozen=True):
    """The numbers of the tasks that an index leads to."""

    sequences: Fragment
    """A statement that gives them, some more than once."""

    def size(self) -> Fragment:
        """A statement that gives how many rows it has, at most one more than ``FEW``."""
        return "(SELECT count(*) FROM (" + self.sequences + f" LIMIT {FEW + 1}))"


def lookups(where: Node | None, resource: Resource, fields: FieldNumbers) -> list[Lookup]:
    """A lookup for each condition that all of what ``where`` finds satisfies, and that is on an indexed field."""
    return [Lookup(_sequences(fields[node.path], node)) for node in _usable(where, resource, fields)]


def _usable(where: Node | None, resource: Resource, fields: FieldNumbers) -> Iterator[Compare | Member]:
    if isinstance(where, Group) and where.op == "and":
        for condition in where.conditions:
            yield from _usable(condition, resource, fields)
    elif isinstance(where, Compare | Member) and where.path in fields:
        node = cast("Compare | Member", coerce(where, resource.fields[where.path[0]].kind))
        if _is_lookup(node):
            yield node


def _is_lookup(node: Compare | Member) -> bool:
    are_plain = all(isinstance(value, str) or is_number(value) for value in node.values)
    return COMPARISONS[node.op].is_relation and are_plain and 0 < len(node.values) <= _VALUES_MAX


def _sequences(field: int, node: Compare | Member) -> Fragment:
    values = [comparable(value) for value in node.values]
    found = _conditions(COMPARISONS[node.op].sign or "=", values)
    one = f"SELECT seq AS found_seq FROM task_values WHERE field = {field} AND "
    return one + found + f" UNION ALL {one}value = {_TEXTS_END}"


def _conditions(sign: str, values: Sequence[Parameter]) -> Fragment:
    """What is found of ``values``: never less than by exact comparison."""
    if sign == "=":
        return "value IN (" + listed([bound(value) for value in values]) + ")"
    [value] = values
    first, end = (_NUMBERS_END, _TEXTS_END) if isinstance(value, str) else (None, _NUMBERS_END)
    if sign in (">", ">="):
        return "value >= " + bound(value) + f" AND value < {end}"
    return "value <= " + bound(value) + (f" AND value >= {first}" if first else "")
