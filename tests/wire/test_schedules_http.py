"""The schedules resource over HTTP."""

from typing import Any

import pytest
from support.http.error_shape import assert_error
from support.http.service import BASE, Service, function_body

from taskd.model.timestamps import parse_rfc3339

SCHEDULES = f"{BASE}/schedules"
NEVER = "2999-01-01T00:00:00.000Z"


async def create(service: Service, **fields: Any) -> dict[str, Any]:
    async with service.client.post(SCHEDULES, json={"functionName": "hello", "interval": 60, **fields}) as response:
        assert response.status == 200, await response.text()
        return dict(await response.json())


async def test_a_created_schedule_is_answered_whole(service: Service) -> None:
    data = {"ward": {"beds": [1, 2]}}
    schedule = await create(service, data=data, priority=5, startTimestamp="2999-01-01T01:00:00+01:00", extra=1)
    assert set(schedule) == {
        *("id", "interval", "functionName", "data", "priority"),
        *("startTimestamp", "nextTimestamp", "creationTimestamp", "updateTimestamp"),
    }
    assert (schedule["interval"], schedule["data"], schedule["priority"]) == (60, data, 5)
    assert schedule["startTimestamp"] == schedule["nextTimestamp"] == NEVER
    assert schedule["creationTimestamp"] == schedule["updateTimestamp"]


async def test_a_schedule_starts_now_with_the_functions_priority_where_it_does_not_say(service: Service) -> None:
    body = function_body(executionOptions={"defaultPriority": 9})
    async with service.client.post(f"{BASE}/functions", json=body) as response:
        assert response.status == 200
    schedule = await create(service)
    assert (schedule["priority"], schedule["data"]) == (9, {})
    assert schedule["startTimestamp"] <= schedule["creationTimestamp"]


@pytest.mark.parametrize(("interval", "kept"), [(1.0, 1), (0.1, 0.1), (1.0006, 1.001), (316_224_000, 316_224_000)])
async def test_intervals_are_kept_to_the_millisecond(service: Service, interval: float, kept: float) -> None:
    assert (await create(service, interval=interval, startTimestamp=NEVER))["interval"] == kept


@pytest.mark.parametrize(
    ("body", "code", "part"),
    [
        (b"", 13, "body"),
        (b"[]", 22, "object"),
        (b"{}", 14, "functionName, interval"),
        (b'{"functionName": "hello"}', 14, "interval"),
        (b'{"functionName": "hello", "interval": "1"}', 15, "interval"),
        (b'{"functionName": "hello", "interval": 0}', 15, "interval"),
        (b'{"functionName": "hello", "interval": -1}', 15, "interval"),
        (b'{"functionName": "hello", "interval": 0.09}', 15, "interval"),
        (b'{"functionName": "hello", "interval": 316224001}', 15, "interval"),
        (b'{"functionName": "hello", "interval": 1e999}', 22, "body"),
        (b'{"functionName": "no spaces", "interval": 1}', 15, "functionName"),
        (b'{"functionName": "hello", "interval": 1, "data": []}', 15, "data"),
        (b'{"functionName": "hello", "interval": 1, "startTimestamp": "soon"}', 15, "startTimestamp"),
        (b'{"functionName": "hello", "interval": 1, "priority": 0.5}', 15, "priority"),
        (b'{"functionName": "hello", "interval": 1, "data": {"a": "' + b"x" * 65_536 + b'"}}', 1414, "data"),
    ],
)
async def test_a_bad_schedule_is_refused_by_name(service: Service, body: bytes, code: int, part: str) -> None:
    async with service.client.post(SCHEDULES, data=body) as response:
        assert part in (await assert_error(response, code))["message"]
    assert (await service.get("/schedules"))["page"]["total"] == 0


async def test_schedules_are_listed_oldest_first_and_filtered_sorted_paged_and_trimmed(service: Service) -> None:
    made = [await create(service, interval=n, data={"n": n}, startTimestamp=NEVER) for n in (1, 2.5, 3)]
    assert await service.get("/schedules/") == {
        "query": "{}",
        "page": {"total": 3, "offset": 0, "limit": 20},
        "data": made,
    }
    page = await service.get("/schedules?ge(interval,2)&sort(-data.n)&limit(1,1)&select(interval)")
    assert page["data"] == [{"id": made[1]["id"], "interval": 2.5}]
    assert page["page"] == {"total": 2, "offset": 1, "limit": 1}
    async with service.client.get(f"{SCHEDULES}?frobnicate(1)") as response:
        await assert_error(response, 19)


async def test_a_deleted_schedule_is_gone(service: Service) -> None:
    schedule = await create(service, startTimestamp=NEVER)
    async with service.client.delete(f"{SCHEDULES}/{schedule['id']}") as response:
        assert await response.json() == {"affectedRecords": 1}
    assert (await service.get("/schedules"))["data"] == []
    async with service.client.delete(f"{SCHEDULES}/{schedule['id']}") as response:
        assert schedule["id"] in (await assert_error(response, 16))["message"]
    async with service.client.delete(f"{SCHEDULES}/nonsense") as response:
        await assert_error(response, 12)


async def test_the_task_of_a_schedule_says_so(service: Service) -> None:
    schedule = await create(service, data={"n": 1}, priority=2)
    await service.store.fire(10)
    [task] = (await service.get(f"?scheduleId={schedule['id']}"))["data"]
    assert (task["data"], task["priority"], task["status"]) == ({"n": 1}, 2, "new")
    assert task["startTimestamp"] == schedule["startTimestamp"]
    [moved] = (await service.get("/schedules"))["data"]
    start_ms, next_ms = parse_rfc3339(moved["startTimestamp"]), parse_rfc3339(moved["nextTimestamp"])
    assert start_ms is not None
    assert next_ms == start_ms + 60_000
