"""Pieces of SQL together with their parameters, in the order in which these stand in the text."""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

Parameter = str | int | float


class Fragment(Struct, frozen=True):
    """A piece of SQL. ``height`` is how deep groups are nested in it."""

    text: str
    params: tuple[Parameter, ...] = ()
    height: int = 0

    def __add__(self, other: "Fragment | str") -> "Fragment":
        if isinstance(other, str):
            return Fragment(self.text + other, self.params, self.height)
        return Fragment(self.text + other.text, self.params + other.params, max(self.height, other.height))

    def __radd__(self, other: str) -> "Fragment":
        return Fragment(other + self.text, self.params, self.height)


TRUE = Fragment("1")
FALSE = Fragment("0")


def constant(value: bool) -> Fragment:  # noqa: FBT001
    """``1`` or ``0``."""
    return TRUE if value else FALSE


def bound(value: Parameter) -> Fragment:
    """A parameter."""
    return Fragment("?", (value,))


def listed(parts: Sequence[Fragment]) -> Fragment:
    """The parts with commas between them."""
    params = tuple(param for part in parts for param in part.params)
    return Fragment(", ".join(part.text for part in parts), params)


def negated(condition: Fragment) -> Fragment:
    """True where ``condition`` is false or NULL."""
    return "NOT ifnull(" + condition + ", 0)"


def joined(op: Literal["AND", "OR"], parts: Sequence[Fragment]) -> Fragment:
    """All the conditions in one.

    SQLite's parser keeps a stack of 100 symbols and its expressions may be 1,000 levels high. So the part that nests
    deepest comes first, where it costs one symbol a level, and the others form a balanced tree.
    """
    if len(parts) == 1:
        return parts[0]
    first, *rest = sorted(parts, key=lambda part: -part.height)
    whole = "(" + first + f" {op} " + _balanced(op, rest) + ")"
    return Fragment(whole.text, whole.params, first.height + 1)


def _balanced(op: str, parts: Sequence[Fragment]) -> Fragment:
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return "(" + _balanced(op, parts[:middle]) + f" {op} " + _balanced(op, parts[middle:]) + ")"
