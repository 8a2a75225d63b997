"""Pieces of SQL together with their parameters, in the order in which these stand in the text."""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

Parameter = str | int | float


class Sql(Struct, frozen=True):
    """A piece of SQL. ``height`` is how deep groups are nested in it."""

    text: str
    params: tuple[Parameter, ...] = ()
    height: int = 0

    def __add__(self, other: "Sql | str") -> "Sql":
        if isinstance(other, str):
            return Sql(self.text + other, self.params, self.height)
        return Sql(self.text + other.text, self.params + other.params, max(self.height, other.height))

    def __radd__(self, other: str) -> "Sql":
        return Sql(other + self.text, self.params, self.height)


TRUE = Sql("1")
FALSE = Sql("0")


def constant(value: bool) -> Sql:  # noqa: FBT001
    """``1`` or ``0``."""
    return TRUE if value else FALSE


def bound(value: Parameter) -> Sql:
    """A parameter."""
    return Sql("?", (value,))


def listed(parts: Sequence[Sql]) -> Sql:
    """The parts with commas between them."""
    params = tuple(param for part in parts for param in part.params)
    return Sql(", ".join(part.text for part in parts), params)


def negated(condition: Sql) -> Sql:
    """True where ``condition`` is false or NULL."""
    return "NOT ifnull(" + condition + ", 0)"


def joined(op: Literal["AND", "OR"], parts: Sequence[Sql]) -> Sql:
    """All the conditions in one.

    SQLite's parser keeps a stack of 100 symbols and its expressions may be 1,000 levels high. So the part that nests
    deepest comes first, where it costs one symbol a level, and the others form a balanced tree.
    """
    first, *rest = sorted(parts, key=lambda part: -part.height)
    if not rest:
        return first
    whole = "(" + first + f" {op} " + _balanced(op, rest) + ")"
    return Sql(whole.text, whole.params, first.height + 1)


def _balanced(op: str, parts: Sequence[Sql]) -> Sql:
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return "(" + _balanced(op, parts[:middle]) + f" {op} " + _balanced(op, parts[middle:]) + ")"
