"""API requests: kept, found and read again."""

from collections.abc import Awaitable, Callable

import pytest
from support.clocks import FakeClock

from taskd.model.api_request import ApiErrorType, ApiRequest, ApiRequestError
from taskd.model.errors import INVALID_RQL, RESOURCE_UNKNOWN, ContractError
from taskd.model.logline import LogLine
from taskd.rql.parser import parse
from taskd.store.base import TaskStore

OpenStore = Callable[[], Awaitable[TaskStore]]
ERROR = ApiRequestError(ApiErrorType.RUNTIME, "ValueError", "a \0 é 'quoted\"")


async def a_request(store: TaskStore, clock: FakeClock, **fields: object) -> ApiRequest:
    values: dict[str, object] = {
        "id": await store.begin_api_request(),
        "function_name": "f",
        "method": "GET",
        "path": "a/é?x=1",
        "timestamp_ms": clock(),
        "duration_ms": 1500,
        "status_code": 200,
    }
    return ApiRequest(**{**values, **fields})  # type: ignore[arg-type]


async def test_a_request_is_given_back_whole(open_store: OpenStore, clock: FakeClock) -> None:
    store = await open_store()
    request = await a_request(store, clock, user_id="u" * 24, application_id="a" * 24, error=ERROR)
    await store.end_api_request(request, ())
    assert await store.api_request(request.id) == request
    store = await open_store()
    assert await store.api_request(request.id) == request
    assert (await store.find_api_requests(parse(""))).rows == [request]


async def test_requests_are_listed_in_the_order_they_came_in(store: TaskStore, clock: FakeClock) -> None:
    slow, quick = await a_request(store, clock), await a_request(store, clock, duration_ms=1)
    await store.end_api_request(quick, ())
    await store.end_api_request(slow, ())
    page = await store.find_api_requests(parse(""))
    assert (page.rows, page.total) == ([slow, quick], 2)
    assert (await store.find_api_requests(parse("duration<0.5"))).rows == [quick]
    assert (await store.find_api_requests(parse("limit(1,1)&skipCount()"))).total is None


async def test_what_was_printed_is_kept_with_the_request(store: TaskStore, clock: FakeClock) -> None:
    request = await a_request(store, clock)
    lines = [LogLine(clock(), "one"), LogLine(clock() + 5, "two")]
    await store.end_api_request(request, lines)
    assert await store.find_logs(request.id, 0, 0, 10) == lines
    assert await store.find_logs(request.id, clock() + 1, 0, 10) == lines[1:]


async def test_an_unknown_request_is_told_so(store: TaskStore) -> None:
    with pytest.raises(ContractError) as raised:
        await store.api_request("f" * 24)
    assert raised.value.kind is RESOURCE_UNKNOWN


async def test_a_query_that_makes_no_sense_is_refused(store: TaskStore) -> None:
    with pytest.raises(ContractError) as raised:
        await store.find_api_requests(parse("timestamp>soon"))
    assert raised.value.kind is INVALID_RQL
