"""Functions over HTTP: create, list, look at, delete."""

import asyncio
import io
from typing import Any

import orjson
import pytest
from aiohttp import ClientResponse
from support.http.error_shape import assert_error
from support.http.service import BASE, Service, function_body

from taskd.model.function import Function
from taskd.model.limits import MIB
from taskd.model.timestamps import parse_rfc3339
from taskd.runtime.base import Invocation, Success

FUNCTIONS = f"{BASE}/functions"


async def create(service: Service, **fields: Any) -> dict[str, Any]:
    async with service.client.post(FUNCTIONS, json=function_body(**fields)) as response:
        assert response.status == 200, await response.text()
        return dict(await response.json())


async def invoke(service: Service, name: str) -> Any:
    call = Invocation(task_id="0" * 24, function_name=name, payload=b"{}", timeout_s=30.0)
    return await service.runtime.invoke(call)


async def test_a_created_function_is_answered_without_its_code_and_runs(service: Service) -> None:
    details = await create(service)
    assert parse_rfc3339(details.pop("updateTimestamp")) is not None
    assert details == {
        "name": "hello",
        "description": "",
        "enabled": True,
        "entryPoint": "index.handler",
        "runtime": "python3.11",
        "timeLimit": 30,
        "memoryLimit": 128,
        "environmentVariables": {},
        "executionOptions": {"permissionMode": "permissionRequired", "defaultPriority": 0},
        "retryPolicy": {"enabled": False, "errorsToRetry": []},
    }
    result = await invoke(service, "hello")
    assert isinstance(result, Success)
    assert result.payload == b'"hello"'


async def test_details_show_what_was_sent(service: Service) -> None:
    sent = {
        "description": "Says hello",
        "enabled": False,
        "timeLimit": 5,
        "memoryLimit": 256,
        "environmentVariables": {"GREETING": {"value": "hi"}},
        "executionOptions": {"permissionMode": "public", "defaultPriority": 9},
        "retryPolicy": {"enabled": True, "errorsToRetry": ["Timeout"]},
    }
    await create(service, **sent)
    for slash in ("", "/"):
        details = await service.get(f"/functions/hello{slash}")
        assert {name: details[name] for name in sent} == sent
        assert "code" not in details


async def test_a_listing_shows_rows_by_name_on_one_page(service: Service) -> None:
    for name in ("b", "c", "a"):
        await create(service, name=name, description=f"This is {name}")
    listing = await service.get("/functions?limit(1)&nonsense(")
    assert listing["page"] == {"total": 3, "offset": 0, "limit": 3}
    assert [(row["name"], row["description"]) for row in listing["data"]] == [
        (name, f"This is {name}") for name in "abc"
    ]
    assert all(set(row) == {"name", "description", "updateTimestamp"} for row in listing["data"])


async def test_a_function_may_be_named_like_a_path(service: Service) -> None:
    for name in ("logs", "cancel", "functions"):
        await create(service, name=name)
        assert (await service.get(f"/functions/{name}"))["name"] == name


async def test_a_name_that_is_taken_is_refused_and_the_first_stays(service: Service) -> None:
    await create(service, description="first")
    async with service.client.post(FUNCTIONS, json=function_body(description="second")) as response:
        assert "hello" in (await assert_error(response, 17))["message"]
    assert (await service.get("/functions/hello"))["description"] == "first"


async def test_of_creations_at_the_same_time_one_wins(service: Service) -> None:
    async def attempt(number: int) -> int:
        body = function_body(description=str(number))
        async with service.client.post(FUNCTIONS, json=body) as response:
            if response.status != 200:
                await assert_error(response, 17)
            return response.status

    statuses = await asyncio.gather(*(attempt(number) for number in range(8)))
    assert sorted(statuses) == [200] + [400] * 7
    assert len((await service.get("/functions"))["data"]) == 1
    assert isinstance(await invoke(service, "hello"), Success)


async def test_a_deleted_function_is_gone_and_its_name_free(service: Service) -> None:
    await create(service)
    task = await service.create()
    async with service.client.delete(f"{FUNCTIONS}/hello") as response:
        assert await response.json() == {"affectedRecords": 1}
    async with service.client.get(f"{FUNCTIONS}/hello") as response:
        await assert_error(response, 16)
    async with service.client.delete(f"{FUNCTIONS}/hello/") as response:
        await assert_error(response, 16)
    assert not isinstance(await invoke(service, "hello"), Success)
    assert [row["id"] for row in (await service.get(""))["data"]] == [task["id"]]
    await create(service)


@pytest.mark.parametrize("name", ["nobody", "%C3%A9", "%ff", "a%2Fb", "x" * 300])
async def test_an_unknown_function_is_told_so(service: Service, name: str) -> None:
    async with service.client.get(f"{FUNCTIONS}/{name}") as response:
        await assert_error(response, 16)


@pytest.mark.parametrize("code", ["", "no base64!", "aGVsbG8="])
async def test_code_that_is_no_zip_leaves_no_trace(service: Service, code: str) -> None:
    async with service.client.post(FUNCTIONS, json=function_body(code=code)) as response:
        await assert_error(response, 1401)
    assert (await service.get("/functions"))["data"] == []
    await create(service)


async def test_a_deployment_that_fails_leaves_no_trace(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(function: Function) -> None:
        raise OSError(f"no room for {function.name}")

    with monkeypatch.context() as broken:
        broken.setattr(service.runtime, "deploy", fail)
        async with service.client.post(FUNCTIONS, json=function_body()) as response:
            await assert_error(response, 1)
    assert (await service.get("/functions"))["data"] == []
    await create(service)
    assert isinstance(await invoke(service, "hello"), Success)


async def test_code_may_be_larger_than_other_bodies(service: Service) -> None:
    async def send(path: str, body: dict[str, Any], padding_mib: int) -> ClientResponse:
        content = orjson.dumps({**body, "unknown": "x" * (padding_mib * MIB)})
        return await service.client.post(path, data=io.BytesIO(content))

    assert (await send(FUNCTIONS, function_body(), 7)).status == 200
    await assert_error(await send(BASE, {"functionName": "hello"}, 7), 1414)
    await assert_error(await send(FUNCTIONS, function_body(), 17), 1414)
