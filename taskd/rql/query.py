"""What a query says, as a small tree.

Paths are tuples of field names (``data.patient.id`` is ``("data", "patient", "id")``). Values are plain
JSON scalars where the text named their type (``string:1``, ``'1'``, ``number:1``), a :class:`Guessed` where it
did not, a :class:`Moment` where it reads as a time, and a :class:`Pattern`.
The structs are tagged, so that a node can be written as JSON and read back.
"""

from typing import Literal

from msgspec import Struct

Path = tuple[str, ...]


class Moment(Struct, frozen=True, tag=True):
    """A point in time, named as one by a converter or guessed from a full timestamp; ``text`` is how it was written."""

    epoch_ms: int
    text: str


class Pattern(Struct, frozen=True, tag=True):
    """A regular expression (``re:``, ``RE:``, ``glob:``), anchored nowhere unless it says so."""

    regex: str
    ignore_case: bool


class Guessed(Struct, frozen=True, tag=True):
    """A number or a boolean that no converter named; a field that holds only strings reads it as its ``text``."""

    value: int | float | bool
    text: str


Value = str | int | float | bool | None | Guessed | Moment | Pattern


class Compare(Struct, frozen=True, tag=True):
    """The field compares so with the value; on an array, any element does (for ``ne``: none is equal)."""

    op: str
    """The name of an operator, as in ``operators.COMPARISONS``."""
    path: Path
    value: Value
    position: int
    """Where in the query text this stands, for errors found later."""

    @property
    def values(self) -> tuple[Value, ...]:
        """The value, as :class:`Member` has it."""
        return (self.value,)


class Member(Struct, frozen=True, tag=True):
    """The field is (``in``), or is not (``out``), one of the values."""

    op: str
    """The name of an operator, as in ``operators.COMPARISONS``."""
    path: Path
    values: tuple[Value, ...]
    position: int


class Contains(Struct, frozen=True, tag=True):
    """The field is present; with a condition, some element object satisfies it. ``negated`` for ``excludes``."""

    path: Path
    condition: "Node | None"
    negated: bool
    position: int


class Group(Struct, frozen=True, tag=True):
    """All (``and``) or any (``or``) of the conditions hold; ``and`` of nothing is true."""

    op: Literal["and", "or"]
    conditions: tuple["Node", ...]


Node = Compare | Member | Contains | Group


def conditions(where: Node | None) -> int:
    """How many conditions there are in ``where``, those inside of others included."""
    match where:
        case None:
            return 0
        case Group():
            return sum(map(conditions, where.conditions))
        case Contains():
            return 1 + conditions(where.condition)
        case _:
            return 1


class SortKey(Struct, frozen=True):
    """A field to order by."""

    path: Path
    descending: bool


class Query(Struct, frozen=True):
    """A whole query. ``limit`` is already clamped; ``select`` is empty when records are to be whole."""

    where: Node | None = None
    sort: tuple[SortKey, ...] = ()
    limit: int = 20
    offset: int = 0
    select: tuple[Path, ...] = ()
    skip_count: bool = False
