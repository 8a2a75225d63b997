"""Compiled queries and the evaluator find, on random tasks and documents, exactly what the naive filter finds."""

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from support.store.catalogues import MemoryCatalogue, on_the_wire
from support.store.naive_filter import field_matches, naive_matches, naive_page

from taskd.model.status import Status
from taskd.model.task import ErrorType, Task, TaskError
from taskd.rql.coerce import Kind, coerce
from taskd.rql.evaluate import matches
from taskd.rql.operators import COMPARISONS, Form, Operands
from taskd.rql.query import Compare, Contains, Group, Guessed, Member, Moment, Node, Path, Pattern, Query, SortKey
from taskd.store.embedded.catalogue import queries
from taskd.store.embedded.catalogue.sql.fields import TASKS

NAMES = st.sampled_from(["a", "b", "n", "0", "1", "é", "a.b", 'q"', "", "a b"])
TEXTS = st.sampled_from(
    ["", "a", "A", "ab", "é", "É", "straße", "1", "true", "null", "50%", "'", "2026-01-01T00:00:00Z"]
)
NUMBERS = st.one_of(
    st.integers(-2, 2), st.sampled_from([0.5, -0.0, 1.0, 2**53 + 1, 2**63 - 1, -(2**63), 2**63, 2**70, 1e300, 0.1])
)
SCALARS = st.one_of(TEXTS, NUMBERS, st.booleans(), st.none())
DOCUMENTS = st.recursive(
    SCALARS, lambda parts: st.lists(parts, max_size=3) | st.dictionaries(NAMES, parts, max_size=3), max_leaves=12
)
TIMES = [name for name, field in TASKS.fields.items() if field.kind is Kind.TIME]
TIMES_MS = st.sampled_from([0, 1, 1_767_225_600_000])
IDS = st.sampled_from(["5f0000000000000000000001", "a"])


@st.composite
def tasks(draw: st.DrawFn) -> list[Task]:
    return [draw_task(draw, seq) for seq in range(draw(st.integers(1, 5)))]


def draw_task(draw: st.DrawFn, seq: int) -> Task:
    data = draw(st.dictionaries(NAMES, DOCUMENTS, max_size=4))
    return Task(
        id=f"{seq:024x}",
        seq=seq,
        function_name=draw(st.sampled_from(["a", "1", "ab"])),
        data=json.dumps(data, ensure_ascii=draw(st.booleans())).encode(),
        start_ms=draw(TIMES_MS),
        priority=draw(st.integers(-1, 1)),
        creation_ms=draw(TIMES_MS),
        status=draw(st.sampled_from(Status)),
        status_changed_ms=draw(TIMES_MS),
        tags=tuple(draw(st.lists(TEXTS, max_size=2))),
        created_by_user_id=draw(st.none() | IDS),
        retry_for_task_ids=tuple(draw(st.lists(IDS, max_size=2))),
        error=draw(st.none() | st.builds(TaskError, st.sampled_from(ErrorType), TEXTS, TEXTS)),
    )


def guessed(value: bool | float) -> Guessed:
    return Guessed(value, json.dumps(value))


PATTERNS = st.sampled_from(["^a", "b$", "é", "[0-9]"]).flatmap(lambda r: st.builds(Pattern, st.just(r), st.booleans()))
VALUES = st.one_of(
    TEXTS,
    st.none(),
    st.booleans(),
    NUMBERS.filter(lambda n: abs(n) < 2**63 or isinstance(n, float)),
    st.one_of(st.integers(-2, 2), st.booleans(), st.sampled_from([0.5, 1.0])).map(guessed),
    st.just(Moment(1_767_225_600_000, "2026-01-01T00:00:00Z")),
    PATTERNS,
)
ORDERED = VALUES.filter(
    lambda v: not (v is None or isinstance(v, bool | Pattern) or (isinstance(v, Guessed) and isinstance(v.value, bool)))
)
OPERANDS = {Operands.ANY: VALUES, Operands.ORDERED: ORDERED, Operands.TEXT: TEXTS | PATTERNS}
MOMENTS = st.one_of(TIMES_MS, TIMES_MS.map(guessed), st.just(Moment(1, "")), st.just("2026-01-01T01:00:00+01:00"))
TOP = st.sampled_from(["id", "status", "functionName", "priority", "createdByUserId", "scheduleId", "unknown"])
BELOW = st.lists(NAMES, max_size=3).map(tuple)
PATHS = st.one_of(
    BELOW.map(lambda path: ("data", *path)),
    BELOW.map(lambda path: ("data", *path)),
    TOP.map(lambda name: (name,)),
    st.sampled_from([("tags",), ("tags", "0"), ("error",), ("error", "name"), ("retryForTaskIds",), ("status", "a")]),
)


def comparisons(
    paths: st.SearchStrategy[Path], operands: Mapping[Operands, st.SearchStrategy[Any]]
) -> Iterator[st.SearchStrategy[Node]]:
    """Of every operator that takes ``operands``, with such values."""
    for kind, values in operands.items():
        for form in (Form.VALUE, Form.VALUES):
            names = [row.name for row in COMPARISONS.values() if (row.operands, row.form) == (kind, form)]
            if names:
                yield comparison(form, st.sampled_from(names), paths, values)


def comparison(
    form: Form, names: st.SearchStrategy[str], paths: st.SearchStrategy[Path], values: st.SearchStrategy[Any]
) -> st.SearchStrategy[Node]:
    if form is Form.VALUE:
        return st.builds(Compare, names, paths, values, st.just(0))
    return st.builds(Member, names, paths, st.lists(values, max_size=3).map(tuple), st.just(0))


def leaves(paths: st.SearchStrategy[Path]) -> st.SearchStrategy[Node]:
    return st.one_of(
        *comparisons(paths, OPERANDS),
        st.builds(Contains, paths, st.none(), st.booleans(), st.just(0)),
    )


def groups(nodes: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    return st.builds(Group, st.sampled_from(["and", "or"]), st.lists(nodes, min_size=2, max_size=3).map(tuple))


ON_TIMES = st.one_of(
    *comparisons(st.sampled_from(TIMES).map(lambda n: (n,)), {Operands.ANY: MOMENTS, Operands.ORDERED: MOMENTS})
)
ELEMENTS = leaves(BELOW.filter(bool))
ON_ELEMENTS = st.builds(
    Contains,
    PATHS,
    ELEMENTS | groups(ELEMENTS | st.builds(Contains, BELOW.filter(bool), ELEMENTS, st.booleans(), st.just(0))),
    st.booleans(),
    st.just(0),
)
ON_DOCUMENTS = st.recursive(
    leaves(BELOW),
    lambda nodes: groups(nodes) | st.builds(Contains, BELOW, nodes, st.booleans(), st.just(0)),
    max_leaves=5,
)
NODES = st.recursive(leaves(PATHS) | ON_TIMES | ON_ELEMENTS, groups, max_leaves=5)
SORTS = st.lists(st.builds(SortKey, PATHS | st.sampled_from(TIMES).map(lambda n: (n,)), st.booleans()), max_size=2)
QUERIES = st.builds(Query, st.none() | NODES, SORTS.map(tuple), st.integers(1, 5), st.integers(0, 1))


INDEXES: list[Path] = [("data", "a"), ("data", "0"), ("data", "é"), ("data", "a", "b"), ("data", "b", "0")]
LOOKED_UP = st.one_of(*comparisons(st.sampled_from([*INDEXES, ("tags",)]), OPERANDS))
RANGES = st.builds(
    lambda *ends: Group("and", tuple(Compare(name, ends[0], value, 0) for name, value in ends[1:])),
    st.sampled_from([*INDEXES, ("tags",)]),
    st.tuples(st.sampled_from(["gt", "ge"]), ORDERED),
    st.tuples(st.sampled_from(["lt", "le"]), ORDERED),
)


@pytest.fixture(scope="module")
def catalogue() -> Iterator[MemoryCatalogue]:
    with closing(MemoryCatalogue(INDEXES)) as made:
        yield made


@settings(max_examples=250)
@given(tasks(), st.lists(QUERIES, min_size=3, max_size=3))
def test_same_page_as_the_naive_filter(catalogue: MemoryCatalogue, rows: list[Task], queries: list[Query]) -> None:
    catalogue.fill(rows)
    wire = [on_the_wire(task) for task in rows]
    for query in queries:
        page = catalogue.page(query)
        assert [task.id for task in page.rows] == [task["id"] for task in naive_page(wire, query)], query
        assert page.total == sum(query.where is None or naive_matches(task, query.where) for task in wire), query


@settings(max_examples=250)
@given(tasks(), LOOKED_UP, st.none() | NODES, SORTS, st.integers(0, 1))
def test_an_index_on_values_leads_to_the_same_page(
    catalogue: MemoryCatalogue, rows: list[Task], looked_up: Node, other: Node | None, sort: list[SortKey], offset: int
) -> None:
    catalogue.fill(rows)
    where = looked_up if other is None else Group("and", (looked_up, other))
    query = Query(where, tuple(sort), 3, offset)
    page = catalogue.page_by_values(query)
    if page is not None:
        assert page == replace(catalogue.page(query), scanned=False), query


@settings(max_examples=250)
@given(tasks(), RANGES, st.booleans())
def test_a_range_of_an_index_leads_to_the_same_page(
    catalogue: MemoryCatalogue, rows: list[Task], where: Node, is_written: bool
) -> None:
    catalogue.fill(rows)
    if is_written:
        catalogue.write_runs()
    query = Query(where, (), 3, 0)
    expected = [task.seq for task in catalogue.page(query).rows]
    if queries.tasks(query, catalogue.value_indexes).has_lookups:
        assert all(seqs == expected for seqs in catalogue.seqs_by_values(query)), query


@settings(max_examples=250)
@given(st.lists(DOCUMENTS, min_size=3, max_size=3), ON_DOCUMENTS, st.booleans())
def test_the_evaluator_says_what_the_naive_filter_says(documents: list[Any], node: Node, texts: bool) -> None:
    coerced = coerce(node, Kind.JSON_OF_TEXTS if texts else Kind.JSON)
    for document in documents:
        assert matches(coerced, [document]) == field_matches(document, node, texts=texts), document
