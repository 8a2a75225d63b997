"""What a query says, as a small tree.

Paths are tuples of field names (``data.patient.id`` is ``("data", "patient", "id")``). Values are plain
JSON scalars, except a :class:`Pattern`, and a :class:`Moment` where the text named a time explicitly.
"""

from typing import Literal

from msgspec import Struct

Path = tuple[str, ...]


class Moment(Struct, frozen=True):
    """A point in time, named as one by a converter or guessed from a full timestamp; ``text`` is how it was written."""

    epoch_ms: int
    text: str


class Pattern(Struct, frozen=True):
    """A regular expression (``re:``, ``RE:``, ``glob:``), anchored nowhere unless it says so."""

    regex: str
    ignore_case: bool


Value = str | int | float | bool | None | Moment | Pattern


class Compare(Struct, frozen=True):
    """The field compares so with the value; on an array, any element does (for ``ne``: none is equal)."""

    op: Literal["eq", "ne", "gt", "ge", "lt", "le", "like"]
    path: Path
    value: Value
    position: int
    """Where in the query text this stands, for errors found later."""


class Member(Struct, frozen=True):
    """The field is (``in``), or is not (``out``), one of the values."""

    op: Literal["in", "out"]
    path: Path
    values: tuple[Value, ...]
    position: int


class Contains(Struct, frozen=True):
    """The field is present; with a condition, some element object satisfies it. ``negated`` for ``excludes``."""

    path: Path
    condition: "Node | None"
    negated: bool
    position: int


class Group(Struct, frozen=True):
    """All (``and``) or any (``or``) of the conditions hold; ``and`` of nothing is true."""

    op: Literal["and", "or"]
    conditions: tuple["Node", ...]


Node = Compare | Member | Contains | Group


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
