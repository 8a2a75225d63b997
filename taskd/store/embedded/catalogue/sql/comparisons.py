"""A comparison as SQL, given that the type of what it looks at is known already."""

from collections.abc import Sequence

from taskd.rql.operators import COMPARISONS, Comparison, Operands
from taskd.rql.query import Compare, Member, Pattern
from taskd.rql.scalars import contains_text, is_number
from taskd.store.embedded.catalogue.sql.fragment import FALSE, Fragment, Parameter, bound, joined, listed

FUNCTIONS = {
    comparison.name: f"rql_{comparison.name}"
    for comparison in COMPARISONS.values()
    if comparison.sign is None and comparison.negates is None
}
"""SQL functions, of what is found and of a value, for the comparisons that SQLite has no operator for."""


def text_test(node: Compare | Member, text: Fragment) -> Fragment:
    """Whether the string ``text`` satisfies ``node``, which is positive and has coerced values."""
    texts = [value for value in node.values if isinstance(value, str)]
    searches = [_search(text, value) for value in node.values if isinstance(value, Pattern)]
    return _any([_relation(COMPARISONS[node.op], text, texts), *searches])


def number_test(node: Compare | Member, number: Fragment) -> Fragment:
    """Whether ``number`` satisfies ``node``, which is positive and has coerced values."""
    comparison = COMPARISONS[node.op]
    if comparison.operands is Operands.TEXT:
        return FALSE
    numbers = [value for value in node.values if is_number(value)]
    return _relation(comparison, number, numbers)


def _relation(comparison: Comparison, value: Fragment, operands: Sequence[Parameter]) -> Fragment:
    """Whether ``value`` compares so with any of ``operands``, which are all of its type."""
    if comparison.sign == "=" and len(operands) > 1:
        return value + " IN (" + listed([bound(operand) for operand in dict.fromkeys(operands)]) + ")"
    return _any([_compared(comparison, value, operand) for operand in operands])


def _compared(comparison: Comparison, value: Fragment, operand: Parameter) -> Fragment:
    if comparison.sign is not None:
        return value + f" {comparison.sign} " + bound(operand)
    if comparison.holds is contains_text and isinstance(operand, str) and operand.isascii():
        return "instr(lower(" + value + "), " + bound(operand.lower()) + ") > 0"  # lower() folds ASCII only
    return f"{FUNCTIONS[comparison.name]}(" + value + ", " + bound(operand) + ")"


def _search(text: Fragment, pattern: Pattern) -> Fragment:
    return "rql_search(" + text + ", " + bound(pattern.regex) + ", " + bound(int(pattern.ignore_case)) + ")"


def _any(tests: Sequence[Fragment]) -> Fragment:
    possible = [test for test in tests if test != FALSE]
    return joined("OR", possible) if possible else FALSE
