"""Rows in statements: each exactly once and in order, few different statements, and no statement too large."""

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskd.store.catalogue import statements
from taskd.store.catalogue.statements import ROWS_MAX, insert, parts

LONG = "x" * 100


@given(st.integers(0, 5 * ROWS_MAX))
def test_rows_go_in_powers_of_two(count: int) -> None:
    rows = [(number,) for number in range(count)]
    found = list(parts(rows))
    assert [row for part in found for row in part] == rows
    assert {len(part) for part in found} <= {1 << bits for bits in range(ROWS_MAX.bit_length())}
    assert len(found) <= count // ROWS_MAX + ROWS_MAX.bit_length()


@given(st.lists(st.integers(0, 2 * len(LONG))))
def test_long_rows_go_a_few_at_a_time(sizes: list[int]) -> None:
    rows = [(1, "x" * size) for size in sizes]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statements, "CHARS_MAX", len(LONG))
        found = list(parts(rows))
    assert [row for part in found for row in part] == rows
    assert all(len(part) == 1 or sum(len(row[1]) for row in part) <= len(LONG) for part in found)


def test_what_is_bound_is_what_is_written() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE t (n INTEGER, text TEXT)")
    rows = [(number, None if number % 7 == 0 else f"é{number}\n\"'") for number in range(2 * ROWS_MAX + 5)]
    for part in parts(rows):
        connection.execute(*insert("t", ("n", "text")).bind(part))
    assert connection.execute("SELECT n, text FROM t ORDER BY rowid").fetchall() == rows
