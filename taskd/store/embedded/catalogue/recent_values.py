"""The values of the newest tasks, in memory until there are enough of them to be written in their order.

Written one by one as they come, each would change a page of the file of its own.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from taskd.rql.operators import Comparison
from taskd.store.embedded.catalogue.scalar_values import LOOK, Value
from taskd.store.embedded.catalogue.sql.lookups import Bound

Values = dict[Value, list[int]]
"""The numbers of the tasks that have a value."""
Found = tuple[int, Value, int]
"""The number of a field, a value that it leads to, and the number of the task."""


class RecentValues:
    """Values by field. Whoever uses it from several threads sees to it that one at a time does."""

    def __init__(self) -> None:
        self.fields: dict[int, Values] = {}
        self.first_seq: int | None = None
        """No task with a lower number is in it."""
        self.tasks = 0
        self.chars = 0
        """Of these tasks' data."""

    def add(self, found: Iterable[Found], tasks: int, chars: int) -> None:
        """Takes in the values of so many tasks, with so much data."""
        self.tasks += tasks
        self.chars += chars
        for field, value, seq in found:
            values = self.fields.setdefault(field, {})
            seqs = values.get(value)
            if seqs is None:
                values[value] = [seq]
            elif seqs[-1] != seq:  # the values of a task come together
                seqs.append(seq)
            if self.first_seq is None or seq < self.first_seq:
                self.first_seq = seq

    def remove(self, found: Iterable[Found]) -> None:
        """Forgets values, as far as they are there."""
        for field, value, seq in found:
            values: Values = self.fields.get(field, {})
            seqs = values.get(value, [])
            if seq in seqs:
                seqs.remove(seq)
            if not seqs:
                values.pop(value, None)

    def find(self, field: int, bounds: Sequence[Bound]) -> list[int]:
        """The numbers of the tasks with a value within each of ``bounds``, and of those that are to be looked at."""
        values: Values = self.fields.get(field, {})
        if not values:
            return []
        first, *others = (_seqs_within(values, bound) for bound in bounds)
        return first if not others else list(set(first).intersection(*others))


def _seqs_within(values: Values, bound: Bound) -> list[int]:
    keys = set(_keys(values, bound.comparison, list(bound.operands)))
    return [seq for key in keys | {LOOK} for seq in values.get(key, ())]


def _keys(values: Mapping[Value, object], comparison: Comparison, operands: list[Value]) -> Iterator[Value]:
    if comparison.sign == "=":
        yield from operands
        return
    for operand in operands:
        kind = str if isinstance(operand, str) else (int, float)
        yield from (key for key in values if isinstance(key, kind) and comparison.holds(key, operand))
