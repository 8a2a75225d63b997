"""Looking at one task over HTTP, and waiting for its end."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import ClientResponse
from support.http.error_shape import assert_error
from support.http.service import BASE, Service, http_service

from taskd.api.settings import ServerSettings

FAR_FUTURE = "2999-01-01T00:00:00.000Z"
ABSENT = "f" * 24


async def look(service: Service, task_id: str, query: str = "", prefer: str | None = None) -> Any:
    """The task as it is answered, which must be with 200."""
    headers = {"Prefer": prefer} if prefer else {}
    async with service.client.get(f"{BASE}/{task_id}{query}", headers=headers) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def until_waiting(service: Service, task_id: str, count: int = 1) -> None:
    """Returns when ``count`` requests wait for the task."""
    while len(service.store._awaited._waiters.get(task_id, ())) < count:
        await asyncio.sleep(0)


async def test_a_task_is_looked_at(service: Service) -> None:
    task = await service.create(data={"a": 1}, tags=["x"])
    assert await look(service, task["id"]) == task
    assert await look(service, task["id"], "/") == task


async def test_a_task_that_has_ended_is_looked_at_without_waiting(service: Service) -> None:
    task = await service.create()
    await service.start_all()
    await service.finish(task["id"])
    assert (await look(service, task["id"], "?wait=60"))["status"] == "complete"


@pytest.mark.parametrize(("query", "prefer"), [("?wait=60", None), ("", "wait=60"), ("", 'respond-async, Wait = "99"')])
async def test_who_waits_is_answered_as_soon_as_the_task_has_ended(
    service: Service, query: str, prefer: str | None
) -> None:
    task = await service.create()
    waiting = asyncio.create_task(look(service, task["id"], query, prefer))
    await until_waiting(service, task["id"])
    await service.start_all()
    assert not waiting.done()
    await service.finish(task["id"])
    assert (await waiting)["status"] == "complete"


async def test_after_the_wait_the_task_is_answered_as_it_is(service: Service) -> None:
    task = await service.create(startTimestamp=FAR_FUTURE)
    assert await look(service, task["id"], "?wait=0.05") == task
    assert await look(service, task["id"], "?wait=0") == task
    assert not service.store._awaited


@pytest.mark.parametrize("wait", ["61", "-1", "x", "", "1e1", "nan", "٣", "9" * 400])
async def test_a_wait_that_is_none_is_refused(service: Service, wait: str) -> None:
    task = await service.create()
    async with service.client.get(f"{BASE}/{task['id']}", params={"wait": wait}) as response:
        await assert_error(response, 15)


@pytest.mark.parametrize("prefer", ["wait=", "wait=x", "waits=3", "wait=1.5", "wait=-3", "", "handling=strict"])
async def test_a_preference_that_is_no_wait_is_none(service: Service, prefer: str) -> None:
    task = await service.create(startTimestamp=FAR_FUTURE)
    assert await look(service, task["id"], prefer=prefer) == task


async def unknown(service: Service) -> ClientResponse:
    return await service.client.get(f"{BASE}/{ABSENT}?wait=60")


async def malformed(service: Service) -> ClientResponse:
    return await service.client.get(f"{BASE}/{ABSENT[1:]}?wait=60")


@pytest.mark.parametrize(("call", "code"), [(unknown, 16), (malformed, 12)])
async def test_a_task_that_is_not_there_is_not_waited_for(
    service: Service, call: Callable[[Service], Awaitable[ClientResponse]], code: int
) -> None:
    async with await call(service) as response:
        await assert_error(response, code)


async def test_requests_that_wait_take_no_place_of_others(tmp_path: Any) -> None:
    async with http_service(tmp_path, ServerSettings(requests_max=2)) as service:
        task = await service.create()
        waiting = [asyncio.create_task(look(service, task["id"], "?wait=60")) for _ in range(20)]
        await until_waiting(service, task["id"], 20)
        await service.create()
        await service.start_all()
        await service.finish(task["id"])
        assert {each["status"] for each in await asyncio.gather(*waiting)} == {"complete"}


async def test_a_server_that_stops_lets_nobody_wait(service: Service) -> None:
    task = await service.create(startTimestamp=FAR_FUTURE)
    waiting = asyncio.create_task(look(service, task["id"], "?wait=60"))
    await until_waiting(service, task["id"])
    await service.app.shutdown()
    assert await waiting == task
    assert await look(service, task["id"], "?wait=60") == task
