"""The table of operators: each row is taken by the grammar in all its forms, and means what it should."""

import json
import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from taskd.rql.coerce import Kind, coerce
from taskd.rql.directives import DIRECTIVES
from taskd.rql.errors import RqlError
from taskd.rql.evaluate import matches
from taskd.rql.mongo_filter import filter_json
from taskd.rql.operators import COMPARISONS, OPERATORS, SYMBOLS, Comparison, Form, Operands
from taskd.rql.parser import parse
from taskd.rql.scan import RELATION

README = Path(__file__).parents[2] / "README.md"
VALUES: tuple[Any, ...] = (None, True, 0, 1, 2.5, "", "a", "AB", "1", [], [1, "a"], {})
DOCUMENTS: list[Any] = [{}, *({"f": value} for value in VALUES)]


@pytest.mark.parametrize("row", COMPARISONS.values(), ids=COMPARISONS)
def test_a_comparison_is_taken_in_each_of_its_forms(row: Comparison) -> None:
    called = filter_json(parse(f"{row.name}(f,a)"))
    assert filter_json(parse(f"f={row.name}=a")) == called
    assert [filter_json(parse(f"f{symbol}a")) for symbol in row.symbols] == [called] * len(row.symbols)


def test_the_scanner_and_the_table_know_the_same_symbols() -> None:
    candidates = {first + second for first, second in product("=!<>~^%:", ("", "=", "~", ">"))}
    assert {symbol for symbol in candidates if RELATION.fullmatch(symbol)} == set(SYMBOLS)


def test_what_negates_holds_where_the_other_does_not() -> None:
    negations = [row for row in OPERATORS.values() if row.negates is not None]
    assert {(row.name, row.negates) for row in negations} >= {("ne", "eq"), ("out", "in"), ("excludes", "contains")}
    for row, value in product(negations, ("f", "f,1", "f,a", "f,null")):
        if row.form is Form.ELEMENTS or "," in value:
            assert OPERATORS[str(row.negates)].form is row.form
            assert found(f"{row.name}({value})") == [not holds for holds in found(f"{row.negates}({value})")]


def found(text: str) -> list[bool]:
    where = parse(text).where
    assert where is not None
    return [matches(coerce(where, Kind.JSON), [document]) for document in DOCUMENTS]


@pytest.mark.parametrize(
    ("name", "holding"),
    [
        ("eq", [(1, 1), ("a", "a"), (True, True), (None, None)]),
        ("gt", [(2, 1), ("b", "a"), ("a", "B")]),
        ("ge", [(1, 1), (2, 1), ("a", "B")]),
        ("lt", [(1, 2), ("a", "b"), ("B", "a")]),
        ("le", [(1, 1), (1, 2), ("B", "a")]),
        ("like", [("abc", "B"), ("É", "é"), ("strasse", "ß"), ("a", "")]),
        ("in", [(1, 1), ("a", "a")]),
    ],
)
def test_a_relation_holds(name: str, holding: list[tuple[Any, Any]]) -> None:
    assert all(COMPARISONS[name].holds(left, right) for left, right in holding)


@pytest.mark.parametrize(
    ("name", "failing"),
    [
        ("eq", [(1, 2), ("a", "A")]),
        ("gt", [(1, 1), ("a", "b")]),
        ("ge", [(1, 2), ("B", "a")]),
        ("lt", [(1, 1), ("a", "B")]),
        ("le", [(2, 1), ("a", "B")]),
        ("like", [("abc", "d"), ("\u212a", "k"), ("\u00df", "SS"), ("e\u0301", "\u00e9")]),
    ],
)
def test_a_relation_fails(name: str, failing: list[tuple[Any, Any]]) -> None:
    assert not any(COMPARISONS[name].holds(left, right) for left, right in failing)


@pytest.mark.parametrize("name", [row.name for row in COMPARISONS.values() if row.operands is Operands.ORDERED])
@pytest.mark.parametrize("value", ["null", "true", "re:a"])
def test_what_has_no_order_is_not_ordered_by(name: str, value: str) -> None:
    with pytest.raises(RqlError, match=f"{name} expects a number, a text or a time"):
        found(f"{name}(f,{value})")


@pytest.mark.parametrize("name", [row.name for row in COMPARISONS.values() if row.operands is Operands.TEXT])
def test_a_comparison_of_texts_guesses_nothing_and_takes_no_other_type(name: str) -> None:
    assert json.loads(filter_json(parse(f"{name}(f,1)"))) == {"f": COMPARISONS[name].mongo("1")}
    with pytest.raises(RqlError, match=f"{name} expects a text, not a number"):
        parse(f"{name}(f,number:1)")
    with pytest.raises(RqlError, match=f"{name} expects a field with text, not a time"):
        coerce(parse(f"{name}(f,a)").where, Kind.TIME)  # type: ignore[arg-type]


def test_the_readme_names_all_of_them() -> None:
    listed = re.search(r"the operators are\s+`([^`]+)`", README.read_text())
    assert listed is not None
    assert {*listed[1].split(), "skip_count"} == {*OPERATORS, *DIRECTIVES}
