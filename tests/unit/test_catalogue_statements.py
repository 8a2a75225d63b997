"""Rows in statements: each exactly once and in order, few different statements, and no statement too large."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from support.store.catalogues import MemoryCatalogue

from taskd.model.status import Status
from taskd.model.task import ErrorType, Task, TaskError
from taskd.rql.parser import parse
from taskd.store.embedded.catalogue import statements
from taskd.store.embedded.catalogue.statements import (
    DELETE_LOGS,
    FEW,
    ROWS_MAX,
    ROWS_MAX_OF_FEW,
    insert,
    parts,
    updates,
    upserts,
)

LONG = "x" * 100


@given(st.one_of(st.integers(0, FEW), st.integers(FEW + 1, 2 * FEW)))
def test_rows_go_in_powers_of_two(count: int) -> None:
    rows = [(number,) for number in range(count)]
    found = list(parts(rows))
    assert [row for part in found for row in part] == rows
    most = ROWS_MAX if count > FEW else ROWS_MAX_OF_FEW
    assert {len(part) for part in found} <= {1 << bits for bits in range(most.bit_length())}
    assert len(found) <= count // most + most.bit_length()


@given(st.lists(st.integers(0, 2 * len(LONG))))
def test_long_rows_go_a_few_at_a_time(sizes: list[int]) -> None:
    rows = [(1, "x" * size) for size in sizes]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statements, "CHARS_MAX", len(LONG))
        found = list(parts(rows))
    assert [row for part in found for row in part] == rows
    assert all(len(part) == 1 or sum(len(row[1]) for row in part) <= len(LONG) for part in found)


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as opened:
        yield opened


@pytest.fixture
def catalogue() -> Iterator[MemoryCatalogue]:
    with closing(MemoryCatalogue()) as made:
        yield made


def test_what_is_bound_is_what_is_written(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE t (n INTEGER, text TEXT)")
    rows = [(number, None if number % 7 == 0 else f"é{number}\n\"'") for number in range(FEW + 5)]
    for part in parts(rows):
        connection.execute(*insert("t", ("n", "text")).bind(part))
    assert connection.execute("SELECT n, text FROM t ORDER BY rowid").fetchall() == rows


def test_every_statement_takes_as_many_rows_as_there_may_be(catalogue: MemoryCatalogue) -> None:
    tasks = [
        Task(f"{n:024x}", n, "f", b"{}", 0, 0, 0, Status.NEW, 0, tags=("t",) if n % 2 else ())
        for n in range(1, 2 * FEW + 3)
    ]
    catalogue.write(upserts(tasks))
    assert catalogue.page(parse("status=new")).total == len(tasks)
    error = TaskError(ErrorType.RUNTIME, "E", "it failed")
    catalogue.write(
        updates(
            replace(task, status=Status.FAILED, error=error) if task.tags else replace(task, status=Status.COMPLETE)
            for task in tasks
        )
    )
    for text in ("status=failed", "status=complete", "error.name=E"):
        assert catalogue.page(parse(text)).total == len(tasks) // 2


def test_log_lines_of_many_tasks_go_at_once(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE logs (task_id TEXT)")
    rows = [(f"{number}",) for number in range(FEW + 5)]
    for statement, written in ((insert("logs", ("task_id",)), rows), (DELETE_LOGS, rows[1:])):
        for part in parts(written):
            connection.execute(*statement.bind(part))
    assert connection.execute("SELECT task_id FROM logs").fetchall() == rows[:1]
