"""The Idempotency-Key header on the creation of a task."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from support.daemon.process import api_of, running_daemon
from support.http.error_shape import assert_error
from support.http.service import BASE, Service, http_service

from taskd.model.caller import EVERYTHING, Caller

BODY = {"functionName": "hello", "data": {"n": 1}}
KEY = "order-4711"


async def create(service: Service, key: str = KEY, **fields: Any) -> dict[str, Any]:
    headers = {"Idempotency-Key": key}
    async with service.client.post(BASE, json={**BODY, **fields}, headers=headers) as response:
        assert response.status == 200, await response.text()
        return dict(await response.json())


async def total(service: Service) -> int:
    return int((await service.get(""))["page"]["total"])


async def test_the_same_request_again_answers_the_same_task_as_it_is_now(service: Service) -> None:
    first = await create(service)
    assert await create(service) == first
    await service.start_all()
    await service.finish(first["id"])
    again = await create(service)
    assert (again["id"], again["status"]) == (first["id"], "complete")
    assert await total(service) == 1


async def test_another_body_with_the_same_key_is_refused(service: Service) -> None:
    await create(service)
    headers = {"Idempotency-Key": KEY}
    async with service.client.post(BASE, json={**BODY, "priority": 1}, headers=headers) as response:
        assert "Idempotency-Key" in (await assert_error(response, 26))["message"]
    assert await total(service) == 1


async def test_a_slash_at_the_end_makes_no_other_request(service: Service) -> None:
    first = await create(service)
    async with service.client.post(BASE + "/", json=BODY, headers={"Idempotency-Key": KEY}) as response:
        assert (await response.json())["id"] == first["id"]


async def test_a_request_that_was_refused_may_be_put_right_under_its_key(service: Service) -> None:
    headers = {"Idempotency-Key": KEY}
    async with service.client.post(BASE, json={}, headers=headers) as response:
        await assert_error(response, 14)
    assert (await create(service))["status"] == "new"


@pytest.mark.parametrize("key", ["", "x" * 256, "two words", "é", "tab\tbed"])
async def test_a_key_that_is_none_is_refused(service: Service, key: str) -> None:
    async with service.client.post(BASE, json=BODY, headers={"Idempotency-Key": key}) as response:
        assert "Idempotency-Key" in (await assert_error(response, 15))["message"]
    assert await total(service) == 0


@pytest.mark.parametrize("key", ["x", "~" * 255, "!#$%&'()*+,-./:;<=>?@[]^_`{|}"])
async def test_any_visible_ascii_makes_a_key(service: Service, key: str) -> None:
    assert (await create(service, key))["id"] == (await create(service, key))["id"]


async def test_twenty_at_once_create_one_task(service: Service) -> None:
    answers = await asyncio.gather(*(create(service) for _ in range(20)))
    assert len({answer["id"] for answer in answers}) == 1
    assert await total(service) == 1


async def by_header(request: web.Request) -> Caller:
    return Caller(request.headers["X-User"], "a" * 24, EVERYTHING.permissions, is_authenticated=True)


async def test_the_keys_of_two_callers_never_meet(tmp_path: Path) -> None:
    users = ("1" * 24, "2" * 24)
    created = []
    async with http_service(tmp_path, authenticate=by_header) as service:
        for user in (*users, *users):
            headers = {"Idempotency-Key": KEY, "X-User": user}
            async with service.client.post(BASE, json=BODY, headers=headers) as response:
                created.append(await response.json())
    assert [task["createdByUserId"] for task in created] == [*users, *users]
    assert [task["createdByApplicationId"] for task in created] == ["a" * 24] * 4
    assert [task["id"] for task in created[2:]] == [task["id"] for task in created[:2]]


async def test_a_key_is_remembered_after_a_crash(tmp_path: Path) -> None:
    async with running_daemon(tmp_path) as daemon, api_of(daemon) as api, ClientSession() as client:

        async def created_id() -> str:
            async with client.post(daemon.url + BASE, json=BODY, headers={"Idempotency-Key": KEY}) as response:
                return str((await response.json())["id"])

        first = await created_id()
        await daemon.kill()
        await daemon.start()
        assert await created_id() == first
        assert len(await api.all_tasks()) == 1
