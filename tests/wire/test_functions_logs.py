"""The logs of functions over HTTP, and what becomes of a disabled function's tasks."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.daemon.process import api_of, running_daemon
from support.http.error_shape import assert_error
from support.http.service import BASE, Service, function_body, http_service

from taskd.model.logline import LogLine
from taskd.model.timestamps import format_ms

DAY_MS = 24 * 3600 * 1000
NOON_MS = 1_700_000_000_000


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with http_service(tmp_path) as running:
        for name in ("hello", "other"):
            async with running.client.post(f"{BASE}/functions", json=function_body(name=name)) as response:
                assert response.status == 200
        yield running


async def print_lines(service: Service, function: str, *moments_ms: int) -> None:
    task = await service.create(functionName=function)
    await service.start_all()
    await service.finish(task["id"], *(LogLine(moment_ms, f"{function} {moment_ms}") for moment_ms in moments_ms))


def window(since_ms: int, until_ms: int) -> str:
    return f"eventTimestamp>={format_ms(since_ms)}&eventTimestamp<={format_ms(until_ms)}"


async def messages(service: Service, query: str) -> list[str]:
    page = await service.get(f"/functions/hello/logs?{query}")
    return [line["message"] for line in page["data"]]


async def test_lines_of_all_its_tasks_come_in_the_order_of_time(service: Service) -> None:
    await print_lines(service, "hello", NOON_MS + 1, NOON_MS + 30)
    await print_lines(service, "other", NOON_MS + 10)
    await print_lines(service, "hello", NOON_MS + 20)
    page = await service.get(f"/functions/hello/logs?{window(NOON_MS, NOON_MS + DAY_MS)}")
    assert page == {
        "page": {"offset": 0, "limit": 20},
        "data": [
            {"message": f"hello {moment_ms}", "eventTimestamp": format_ms(moment_ms)}
            for moment_ms in (NOON_MS + 1, NOON_MS + 20, NOON_MS + 30)
        ],
    }


async def test_both_ends_of_the_window_belong_to_it(service: Service) -> None:
    await print_lines(service, "hello", *range(NOON_MS, NOON_MS + 5))
    found = await messages(service, window(NOON_MS + 1, NOON_MS + 3))
    assert found == [f"hello {NOON_MS + offset}" for offset in (1, 2, 3)]
    assert await messages(service, window(NOON_MS + 1, NOON_MS + 3) + "&limit(1,1)") == [f"hello {NOON_MS + 2}"]


async def test_an_open_side_of_the_window_is_a_day_away(service: Service) -> None:
    await print_lines(service, "hello", NOON_MS, NOON_MS + DAY_MS, NOON_MS + DAY_MS + 1)
    assert len(await messages(service, f"eventTimestamp>={format_ms(NOON_MS)}")) == 2
    assert len(await messages(service, f"eventTimestamp<={format_ms(NOON_MS + DAY_MS + 1)}")) == 2
    assert await messages(service, "") == []


@pytest.mark.parametrize(
    ("query", "code"),
    [
        (window(NOON_MS, NOON_MS + DAY_MS + 1), 26),
        ("timestamp>=0", 19),
        ("eventTimestamp>0", 19),
        ("eventTimestamp>=yesterday", 19),
        ("sort(eventTimestamp)", 19),
        ("or(eventTimestamp>=0,eventTimestamp<=1)", 19),
    ],
)
async def test_any_other_query_is_refused(service: Service, query: str, code: int) -> None:
    async with service.client.get(f"{BASE}/functions/hello/logs?{query}") as response:
        await assert_error(response, code)


async def test_an_unknown_function_has_no_log(service: Service) -> None:
    async with service.client.get(f"{BASE}/functions/nobody/logs") as response:
        await assert_error(response, 16)


async def test_due_tasks_of_a_disabled_function_fail_until_it_is_enabled(tmp_path: Path) -> None:
    async with running_daemon(tmp_path) as daemon, api_of(daemon) as api:
        await api.call("POST", "/functions", function_body(name="gate"))
        await api.call("POST", "/functions/gate/disable", {})
        task = await api.wait_until_final((await api.create("gate"))["id"])
        assert task["status"] == "failed"
        assert (task["error"]["type"], task["error"]["name"]) == ("invocation", "FUNCTION_DISABLED")
        await api.call("POST", "/functions/gate/enable", {})
        assert (await api.wait_until_final((await api.create("gate"))["id"]))["status"] == "complete"
