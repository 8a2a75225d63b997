"""The operators, a row each: what reads, coerces, evaluates, prints or translates a condition goes by these rows.

A new comparison is a new row and nothing else. The grammar takes it as ``name(field,value)`` and ``field=name=value``;
a store that has nothing of its own for it calls ``holds``. Directives, which are not about records, are in
``directives.py``.
"""

import operator
import re
from collections.abc import Callable
from enum import Enum, auto
from typing import Any

from msgspec import Struct

from taskd.rql.scalars import contains_text


class Form(Enum):
    """What an operator has between its parentheses."""

    CONDITIONS = auto()
    VALUE = auto()
    """A field and a value."""
    VALUES = auto()
    """A field and any number of values; one for which the operator holds is enough."""
    ELEMENTS = auto()
    """A field, and possibly conditions on the objects in it."""


class Operands(Enum):
    """What values an operator takes. A pattern, where it is taken, is searched for, whatever the operator."""

    ANY = auto()
    ORDERED = auto()
    """Numbers, texts and times: what is before or after another."""
    TEXT = auto()
    """Texts and patterns; what looks like a number is a text, too."""


class Operator(Struct, frozen=True, kw_only=True):
    """What is common to all operators."""

    name: str
    form: Form
    negates: str | None = None
    """The operator that holds exactly where this one does not."""


class Comparison(Operator, frozen=True, kw_only=True):
    """An operator that compares what is found in a field with values of the query."""

    holds: Callable[[Any, Any], bool]
    """Whether it does for a scalar found and a value, of one type. If it negates an operator, whether that one does."""
    mongo: Callable[[Any], Any]
    """Its test in a MongoDB filter, given the value, or the list of values, as JSON."""
    operands: Operands = Operands.ANY
    symbols: tuple[str, ...] = ()
    """What may stand between field and value, besides ``=name=``; ``scan.RELATION`` has to know it."""
    sign: str | None = None
    """How mathematics writes ``holds``, where it does: what databases compare by, and find by an index."""

    @property
    def is_relation(self) -> bool:
        """Whether what it finds stands together in an index: a value, or all on one side of it."""
        return self.sign is not None and self.negates is None


def _named(name: str) -> Callable[[Any], Any]:
    return lambda value: {name: value}


def _itself(value: Any) -> Any:
    return value


def _containing(text: str) -> dict[str, str]:
    return {"$regex": re.escape(text), "$options": "i"}


def _order(name: str, sign: str, holds: Callable[[Any, Any], bool], mongo: str) -> Comparison:
    return Comparison(
        name=name,
        form=Form.VALUE,
        holds=holds,
        mongo=_named(mongo),
        operands=Operands.ORDERED,
        symbols=(sign,),
        sign=sign,
    )


_ROWS: tuple[Operator, ...] = (
    Operator(name="and", form=Form.CONDITIONS),
    Operator(name="or", form=Form.CONDITIONS),
    Comparison(name="eq", form=Form.VALUE, holds=operator.eq, mongo=_itself, symbols=("=", "=="), sign="="),
    Comparison(name="ne", form=Form.VALUE, holds=operator.eq, mongo=_named("$ne"), symbols=("!=",), negates="eq"),
    _order("gt", ">", operator.gt, "$gt"),
    _order("ge", ">=", operator.ge, "$gte"),
    _order("lt", "<", operator.lt, "$lt"),
    _order("le", "<=", operator.le, "$lte"),
    Comparison(name="like", form=Form.VALUE, holds=contains_text, mongo=_containing, operands=Operands.TEXT),
    Comparison(name="in", form=Form.VALUES, holds=operator.eq, mongo=_named("$in"), sign="="),
    Comparison(name="out", form=Form.VALUES, holds=operator.eq, mongo=_named("$nin"), negates="in"),
    Operator(name="contains", form=Form.ELEMENTS),
    Operator(name="excludes", form=Form.ELEMENTS, negates="contains"),
)

OPERATORS = {row.name: row for row in _ROWS}
"""Every operator by its name."""
COMPARISONS = {row.name: row for row in _ROWS if isinstance(row, Comparison)}
"""Those that compare, by name."""
SYMBOLS = {symbol: row for row in COMPARISONS.values() for symbol in row.symbols}
"""Those with a symbol, by it."""
