"""All patterns of a query together may cost only so much: a client's query is compiled on the event loop."""

import time
from pathlib import Path
from urllib.parse import quote

import pytest
from aiohttp import ClientSession
from support.http.error_shape import assert_error
from support.http.service import http_service
from yarl import URL

from taskd.model.limits import RQL_MAX_BYTES
from taskd.rql.errors import RqlError
from taskd.rql.matcher import matcher_for
from taskd.rql.parser import parse

HOSTILE = (
    "{letter}{{990}}",
    "(a*){{400}}",
    "(" + "()" * 300 + "a){{1000}}",
    "()" * 300,
    "(" * 31 + ")" * 31,
    "a" * 500,
)


def filled(pattern: str) -> str:
    """As many conditions as a query may have bytes, each with a pattern of its own."""
    conditions: list[str] = []
    while sum(map(len, conditions)) + len(conditions) < RQL_MAX_BYTES - 3 * len(pattern):
        number = len(conditions)
        conditions.append("a=re:" + quote(pattern.format(letter=chr(97 + number % 26)) + str(number), safe=""))
    return "&".join(conditions)


@pytest.mark.parametrize("pattern", HOSTILE)
def test_a_query_full_of_large_patterns_is_refused_in_milliseconds(pattern: str) -> None:
    """It took up to 750 ms."""
    query = filled(pattern)
    took_s: list[float] = []
    for _ in range(3):  # what else the interpreter has to do, such as collecting garbage, is not the query's
        matcher_for.cache_clear()
        begin_s = time.thread_time()
        with pytest.raises(RqlError, match="too large") as error:
            parse(query)
        took_s.append(time.thread_time() - begin_s)
        assert query.startswith("re:", error.value.position)
    assert min(took_s) < 0.05


@pytest.mark.parametrize("is_known", [False, True])
def test_what_a_query_may_cost_does_not_depend_on_what_was_compiled_before(is_known: bool) -> None:
    half = "a=re:x%7B990%7D"
    query = f"{half}&in(b,re:y%7B990%7D,RE:z%7B990%7D,glob:q*)&{half}"
    matcher_for.cache_clear()
    if is_known:
        parse(query.removesuffix(f"&{half}"))
    with pytest.raises(RqlError, match="too large together") as error:
        parse(query)
    assert error.value.position == len(query) - len("re:x%7B990%7D")


@pytest.mark.parametrize(
    "query", ["a=re:" + "a" * 1999, "&".join(f"a=re:{n}.*x" for n in range(200)), "a=re:x%7B990%7D"]
)
def test_patterns_that_people_write_are_taken(query: str) -> None:
    parse(query)


async def test_a_listing_with_patterns_over_the_budget_is_refused_with_its_place(tmp_path: Path) -> None:
    async with http_service(tmp_path) as service, ClientSession() as client:
        url = URL(f"{service.url}/tasks/v1?{filled(HOSTILE[0])}", encoded=True)
        async with client.get(url) as response:
            assert "at position" in (await assert_error(response, 19))["message"]
