"""A query may have only so many parts: what a client sends is read, and made SQL of, on the event loop."""

import contextlib
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.http.error_shape import assert_error
from support.http.service import http_service

from taskd.model.limits import RQL_CONDITIONS_MAX, RQL_MAX_BYTES, RQL_VALUES_MAX
from taskd.rql.errors import RqlError
from taskd.rql.mongo_filter import filter_json
from taskd.rql.parser import parse
from taskd.rql.query import conditions
from taskd.store.embedded.catalogue import queries

IDS = RQL_MAX_BYTES // 25
READING_MAX_S = 0.02
"""On an idle machine it is a few milliseconds."""


def cpu_s(text: str) -> float:
    """The processor time that reading ``text`` takes. If there is much of it, SQL is made of it off the event loop."""
    begin = time.thread_time()
    with contextlib.suppress(RqlError):
        query = parse(text)
        filter_json(query)
        if conditions(query.where) < 30:
            queries.tasks(query)
    return time.thread_time() - begin


@pytest.mark.parametrize(
    "condition",
    ["a=1", "eq(data.a.b,x)", "(a=1)", "()", "contains(a,b)", "sort(a)", "limit(1)", "like(tags,x)", "in(a,b)"],
)
def test_one_condition_too_many_is_refused_with_its_place(condition: str) -> None:
    each = 2 if condition == "(a=1)" else 1
    most = RQL_CONDITIONS_MAX // each
    parse("&".join([condition] * most))
    with pytest.raises(RqlError, match=f"may have {RQL_CONDITIONS_MAX} conditions") as caught:
        parse("&".join([condition] * (most + 1)))
    assert f"position {most * (len(condition) + 1)} " in caught.value.message


def test_conditions_in_groups_count_wherever_they_are() -> None:
    group = f"and({','.join(['a=1'] * 100)})"
    parse(f"{group}|{group}")
    with pytest.raises(RqlError, match="conditions"):
        parse(f"{group}|{group}|{group}")


@pytest.mark.parametrize("before", ["in(a,", "in(a,(", "out(data.a,", "select("])
def test_one_value_too_many_is_refused_with_its_place(before: str) -> None:
    after = "))" if before.endswith("((") or before == "in(a,(" else ")"
    parse(before + ",".join(["1"] * RQL_VALUES_MAX) + after)
    with pytest.raises(RqlError, match=f"{RQL_VALUES_MAX} values together") as caught:
        parse(before + ",".join(["1"] * (RQL_VALUES_MAX + 1)) + after)
    assert f"position {len(before) + 2 * RQL_VALUES_MAX} " in caught.value.message


def test_as_many_ids_as_fit_into_a_query_may_be_asked_for() -> None:
    assert IDS < RQL_VALUES_MAX
    parse(f"in(id,{','.join(['a' * 24] * (IDS - 1))})")


@pytest.mark.parametrize(
    "part", ["data=1", "data.a=1", "ne(data.a,x)", "tags=x", "a=", "(", "()", "and(", "a=1|", "a,"]
)
def test_sixteen_kib_of_anything_take_milliseconds(part: str) -> None:
    """4,000 conditions took up to 150 ms."""
    for separator in ("", "&", ","):
        text = (part + separator) * (RQL_MAX_BYTES // len(part + separator))
        assert min(cpu_s(text) for _ in range(3)) < READING_MAX_S


@given(
    st.lists(
        st.sampled_from([*"(),&|=.'%", "and(", "or(", "in(", "data", "a", "1", "%25", "re:", "sort("]), max_size=12
    ),
    st.text("(),&", max_size=3),
)
@settings(max_examples=60, deadline=None)
def test_nothing_that_is_repeated_takes_long(pieces: list[str], end: str) -> None:
    unit = "".join(pieces) + end
    text = unit * (RQL_MAX_BYTES // max(1, len(unit)))
    assert min(cpu_s(text) for _ in range(3)) < READING_MAX_S


async def test_a_client_is_told_in_the_contracts_words(tmp_path: Path) -> None:
    async with (
        http_service(tmp_path) as service,
        service.client.get("/tasks/v1?" + "&".join(["a=1"] * 4_000)) as response,
    ):
        assert "250 conditions" in (await assert_error(response, 19))["message"]


async def test_as_many_conditions_as_there_may_be_are_answered(tmp_path: Path) -> None:
    async with http_service(tmp_path) as service:
        task = await service.create(data={"n": 1})
        for path in ("", "/schedules", "/apiRequests"):
            page = await service.get(f"{path}?{'&'.join(['data.n=1'] * RQL_CONDITIONS_MAX)}")
            assert [record["id"] for record in page["data"]] == ([] if path else [task["id"]])
