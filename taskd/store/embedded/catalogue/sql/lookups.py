"""Lookups in the indexes on values inside of JSON: where a condition is on an indexed field, the rows that lead to it.

A lookup finds at least what satisfies its condition, or its two on one field that are the ends of a range. Nothing
else is done by it: the conditions stay in the filter.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, cast

from msgspec import Struct

from taskd.rql.coerce import coerce
from taskd.rql.operators import COMPARISONS, Comparison
from taskd.rql.query import Compare, Group, Member, Node, Path
from taskd.rql.scalars import comparable, is_number
from taskd.store.embedded.catalogue.sql.fields import Resource
from taskd.store.embedded.catalogue.sql.fragment import Fragment, Parameter, bound, joined, listed

FEW = 20_000
"""Up to so many rows a lookup is the best way whatever else there is: sorting and testing them takes 50 ms."""
_VALUES_MAX = 100
_LOWER = (">", ">=")
_NUMBERS_END, _TEXTS_END = "''", "x''"
"""In SQLite's order numbers come first, then texts, then blobs; these are the least text and the least blob."""


class Bound(NamedTuple):
    """What a value compares so with, one of ``operands`` at least."""

    comparison: Comparison
    operands: tuple[Parameter, ...]


class FoundRecently(NamedTuple):
    """What an index leads to that is in memory."""

    before_run: int
    """The other tasks are in the runs with lower numbers."""
    seqs: list[int]


class IndexedValues(Protocol):
    """Indexes on values inside of JSON."""

    @property
    def usable(self) -> Mapping[Path, int]:
        """The fields that are indexed, with their numbers in the tables."""

    def found_recently(self, field: int, bounds: Sequence[Bound], /) -> FoundRecently:
        """The newest tasks that may have a value within each of ``bounds``, not necessarily the same one."""


class Lookup(Struct, frozen=True):
    """Leads to all that may satisfy each of ``bounds``: one, or the two ends of a range."""

    index: IndexedValues
    field: int
    bounds: tuple[Bound, ...]

    def sequences(self) -> Fragment:
        """A statement that gives the numbers of the tasks, some more than once; for a view that is newer."""
        before_run, seqs = self.index.found_recently(self.field, self.bounds)
        found = joined("AND", [_within(each.comparison.sign or "=", each.operands) for each in self.bounds])
        looked_at = f"one.value {'=' if len(self.bounds) == 1 else '>='} {_TEXTS_END}"  # >=: also of several values
        in_runs = _in_runs(self.field, before_run, found, looked_at)
        return in_runs + " UNION ALL SELECT value FROM json_each(" + bound(str(seqs)) + ")"


def size(sequences: Fragment) -> Fragment:
    """A statement that gives how many rows ``sequences`` has, at most one more than ``FEW``."""
    return "(SELECT count(*) FROM (" + sequences + f" LIMIT {FEW + 1}))"


def lookups(where: Node | None, resource: Resource, index: IndexedValues) -> list[Lookup]:
    """A lookup for each condition that all of what ``where`` finds satisfies, and that is on an indexed field.

    And one for each such field of ``data`` of which there are both ends of a range.
    """
    fields = index.usable
    bounds: dict[Path, list[Bound]] = {}
    for node in _usable(where, resource, fields):
        each = Bound(COMPARISONS[node.op], tuple(map(comparable, node.values)))
        bounds.setdefault(node.path, []).append(each)
    single = [Lookup(index, fields[path], (each,)) for path, some in bounds.items() for each in some]
    ranges = [Lookup(index, fields[path], ends) for path, some in bounds.items() for ends in _ranges(path, some)]
    return [*single, *ranges]


def _ranges(path: Path, bounds: Sequence[Bound]) -> Iterator[tuple[Bound, Bound]]:
    """The narrowest range of numbers, and that of texts. Of tags the index does not say who has several."""
    for kinds in ((int, float), (str,)) if len(path) > 1 else ():
        ends = [each for each in bounds if each.comparison.sign != "=" and isinstance(each.operands[0], kinds)]
        lower = [each for each in ends if each.comparison.sign in _LOWER]
        upper = [each for each in ends if each.comparison.sign not in _LOWER]
        if lower and upper:
            yield max(lower, key=_operand), min(upper, key=_operand)


def _operand(bound: Bound) -> Any:
    return bound.operands[0]


def _usable(where: Node | None, resource: Resource, fields: Mapping[Path, int]) -> Iterator[Compare | Member]:
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


def _in_runs(field: int, before_run: int, found: Fragment, looked_at: str) -> Fragment:
    """What is ``found`` in the runs, and what is ``looked_at``. In a cross join SQLite asks run after run."""
    runs = "value_runs AS held CROSS JOIN task_values AS one ON one.run = held.run AND ("
    seqs = f") CROSS JOIN json_each(one.seqs) AS each WHERE held.field = {field} AND held.run < {before_run}"
    one = f"SELECT each.value AS found_seq FROM {runs}"
    return one + found + seqs + f" UNION ALL {one}{looked_at}{seqs}"


def _within(sign: str, values: Sequence[Parameter]) -> Fragment:
    """What is found of ``values``: never less than by exact comparison."""
    if sign == "=":
        return "one.value IN (" + listed([bound(value) for value in values]) + ")"
    [value] = values
    first, end = (_NUMBERS_END, _TEXTS_END) if isinstance(value, str) else (None, _NUMBERS_END)
    if sign in _LOWER:
        return "one.value >= " + bound(value) + f" AND one.value < {end}"
    return "one.value <= " + bound(value) + (f" AND one.value >= {first}" if first else "")
