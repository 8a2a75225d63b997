"""A comparison as SQL, given that the type of what it looks at is known already."""

from collections.abc import Sequence

from taskd.rql.query import Compare, Member, Pattern, Value
from taskd.store.embedded.catalogue.sql.fragment import FALSE, Parameter, Sql, bound, joined, listed

Comparison = Compare | Member

_SIGNS = {"eq": "=", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}


def values_of(node: Comparison) -> tuple[Value, ...]:
    """What the field is compared with."""
    return node.values if isinstance(node, Member) else (node.value,)


def text_test(node: Comparison, text: Sql) -> Sql:
    """Whether the string ``text`` satisfies ``node``, which is positive and has plain values."""
    values = values_of(node)
    texts = [value for value in values if isinstance(value, str)]
    searches = [_search(text, value) for value in values if isinstance(value, Pattern)]
    if node.op == "like":
        return _any([*(_like(text, part) for part in texts), *searches])
    return _any([relation(node, text, texts), *searches])


def number_test(node: Comparison, number: Sql) -> Sql:
    """Whether ``number`` satisfies ``node``, which is positive and has plain values."""
    numbers = [value for value in values_of(node) if type(value) in (int, float)]
    return FALSE if node.op == "like" else relation(node, number, numbers)  # type: ignore[arg-type]


def relation(node: Comparison, value: Sql, operands: Sequence[Parameter]) -> Sql:
    """``value`` compared as ``node`` says with any of ``operands``, all of the same type as it."""
    if not operands:
        return FALSE
    if isinstance(node, Member):
        return value + " IN (" + listed([bound(operand) for operand in dict.fromkeys(operands)]) + ")"
    return value + f" {_SIGNS[node.op]} " + bound(operands[0])


def _like(text: Sql, part: str) -> Sql:
    """SQLite folds the case of ASCII letters only."""
    if part.isascii():
        return "instr(lower(" + text + "), " + bound(part.lower()) + ") > 0"
    return "rql_like(" + text + ", " + bound(part) + ")"


def _search(text: Sql, pattern: Pattern) -> Sql:
    return "rql_search(" + text + ", " + bound(pattern.regex) + ", " + bound(int(pattern.ignore_case)) + ")"


def _any(tests: Sequence[Sql]) -> Sql:
    possible = [test for test in tests if test != FALSE]
    return joined("OR", possible) if possible else FALSE
