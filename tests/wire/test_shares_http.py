"""One caller takes all there is of something; another still gets some."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse, web
from msgspec.structs import replace
from support.functions.local_runtime import appears
from support.http.error_shape import assert_error
from support.http.service import BASE, Service, http_service
from support.http.synchronous_calls import assert_refused, deploy

from taskd.execution.settings import DispatchSettings
from taskd.model import limits
from taskd.model.caller import EVERYTHING, Caller

GREEDY, MODEST = "5f0000000000000000000001", "5f0000000000000000000002"
HOLD = """
import time
from pathlib import Path

def handler(event, context):
    folder = Path(event["data"]["folder"] if "data" in event else event["queryStringParameters"]["folder"])
    (folder / "begun").write_text("yes\\n")
    while not (folder / "go").exists():
        time.sleep(0.005)
    return {"statusCode": 200}
"""
SLOTS = 4


async def from_test_header(request: web.Request) -> Caller:
    """Everybody may do everything, but says who they are."""
    return replace(EVERYTHING, user_id=request.headers.get("Test-User"))


async def post(service: Service, path: str, user: str, body: dict[str, Any], **headers: str) -> ClientResponse:
    response = await service.client.post(BASE + path, json=body, headers={"Test-User": user, **headers})
    await response.read()
    return response


async def create_keyed(service: Service, user: str, number: int) -> ClientResponse:
    return await post(service, "", user, {"functionName": "f"}, **{"Idempotency-Key": f"key-{number}"})


async def create_schedule(service: Service, user: str, number: int) -> ClientResponse:
    return await post(service, "/schedules", user, {"functionName": "f", "interval": 1_000 + number})


@pytest.mark.parametrize(
    ("setting", "create", "code"),
    [("IDEMPOTENCY_KEYS_MAX", create_keyed, 1429), ("SCHEDULES_MAX", create_schedule, 27)],
)
async def test_what_is_kept_has_room_for_the_next_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, create: Any, code: int
) -> None:
    monkeypatch.setattr(limits, setting, 4)
    async with http_service(tmp_path, authenticate=from_test_header) as service:
        assert [(await create(service, GREEDY, number)).status for number in range(4)] == [200] * 4
        await assert_error(await create(service, GREEDY, 4), code)
        assert (await create(service, MODEST, 5)).status == 200


async def execute(service: Service, user: str, folder: Path) -> ClientResponse:
    return await post(service, "/functions/probe/execute", user, {"data": {"folder": str(folder)}})


async def call(service: Service, user: str, folder: Path) -> ClientResponse:
    return await post(service, f"/api/probe?folder={folder}", user, {})


@pytest.mark.parametrize(("begin", "code"), [(execute, 1403), (call, 1412)])
async def test_whoever_was_refused_gets_the_slot_that_comes_free(tmp_path: Path, begin: Any, code: int) -> None:
    dispatch = DispatchSettings(max_direct=SLOTS, max_api_calls=SLOTS)
    folders = [tmp_path / str(number) for number in range(SLOTS + 1)]
    for folder in folders:
        folder.mkdir()
    async with http_service(tmp_path, dispatch=dispatch, authenticate=from_test_header) as service:
        await deploy(service, HOLD)
        held = [asyncio.create_task(begin(service, GREEDY, folder)) for folder in folders[:SLOTS]]
        for folder in folders[:SLOTS]:
            await appears(folder / "begun")
        await assert_refused(await begin(service, MODEST, folders[-1]), code, "as many as may")
        (folders[0] / "go").touch()
        assert (await held[0]).status == 200
        await assert_refused(await begin(service, GREEDY, folders[0]), code, "others call, too")
        for folder in folders:
            (folder / "go").touch()
        assert (await begin(service, MODEST, folders[-1])).status == 200
        assert {response.status for response in await asyncio.gather(*held)} == {200}
