"""Unique tasks over HTTP and on the command line."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from support.http.error_shape import assert_error
from support.http.service import BASE, Service, http_service

from taskd.cli import main
from taskd.cli.exit_codes import ExitCode
from taskd.model.caller import Caller

KEY: dict[str, Any] = {"key": "patient-7"}
REPLACE = {**KEY, "onConflict": "replace"}


async def post(service: Service, path: str, body: Any, **headers: str) -> Any:
    async with service.client.post(BASE + path, json=body, headers=headers) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def create(service: Service, unique: Any = KEY, **fields: Any) -> Any:
    return await post(service, "", {"functionName": "hello", "unique": unique, **fields})


async def test_the_task_that_is_there_is_answered(service: Service) -> None:
    first = await create(service, data={"n": 1})
    assert first["unique"] == {"key": "patient-7", "while": "active"}
    assert "conflict" not in first
    assert await create(service, data={"n": 2}) == {**first, "conflict": True}
    async with service.client.post(
        BASE, json={"functionName": "hello", "unique": {**KEY, "onConflict": "reject"}}
    ) as response:
        refused = await assert_error(response, 17)
    assert refused["taskId"] == first["id"]
    assert (await service.get(f"/{first['id']}"))["data"] == {"n": 1}
    assert (await service.get(""))["page"]["total"] == 1


async def test_a_waiting_task_takes_over_what_is_new(service: Service) -> None:
    first = await create(service, startTimestamp="2999-01-01T00:00:00.000Z", tags=["t"])
    again = await create(service, REPLACE, data={"n": 2}, priority=4, tags=["other"])
    assert (again["id"], again["data"], again["priority"], again["tags"]) == (first["id"], {"n": 2}, 4, ["t"])
    assert again["conflict"]
    assert again["startTimestamp"] < first["startTimestamp"]
    assert [task["data"] for task in (await service.get("?priority=4"))["data"]] == [{"n": 2}]


@pytest.mark.parametrize(
    ("unique", "part"),
    [
        ("k", "unique"),
        ({}, "key"),
        ({"key": ""}, "key"),
        ({"key": "x" * 257}, "key"),
        ({"key": "a\u0000b"}, "unique.key"),
        ({"key": 1}, "key"),
        ({"key": "k", "while": "later"}, "while"),
        ({"key": "k", "while": 0}, "unique.while"),
        ({"key": "k", "while": 1.5}, "unique.while"),
        ({"key": "k", "while": 10**12}, "unique.while"),
        ({"key": "k", "onConflict": "merge"}, "onConflict"),
    ],
)
async def test_keys_that_make_no_sense_are_refused_by_name(service: Service, unique: Any, part: str) -> None:
    for path, body in (("", {}), ("/schedules", {"interval": 60})):
        async with service.client.post(
            BASE + path, json={"functionName": "hello", "unique": unique, **body}
        ) as response:
            assert part in (await assert_error(response, 15))["message"]
    async with service.client.post(BASE + "/bulk", json=[{"functionName": "hello", "unique": unique}]) as response:
        assert (await assert_error(response, 15))["index"] == 0


async def test_bulk_says_which_were_there(service: Service) -> None:
    first = await create(service)
    body: list[dict[str, Any]] = [{"functionName": "hello"}, {"functionName": "hello", "unique": KEY}]
    answer = await post(service, "/bulk", body)
    assert answer == {"ids": [answer["ids"][0], first["id"]], "conflicts": [1]}
    assert "conflicts" not in await post(service, "/bulk", body[:1])
    body[1]["unique"] = {**KEY, "onConflict": "reject"}
    async with service.client.post(BASE + "/bulk", json=body) as response:
        refused = await assert_error(response, 17)
    assert (refused["index"], refused["taskId"]) == (1, first["id"])
    assert (await service.get(""))["page"]["total"] == 3


async def test_a_request_sent_again_is_answered_as_before(service: Service) -> None:
    first = await create(service)
    body = {"functionName": "hello", "unique": KEY}
    for _ in range(2):
        again = await post(service, "", body, **{"Idempotency-Key": "one"})
        assert (again["id"], again["conflict"]) == (first["id"], True)


async def test_tasks_are_found_by_their_keys(service: Service) -> None:
    first = await create(service)
    await create(service, {"key": "other", "while": 60})
    await post(service, "", {"functionName": "hello"})
    for query in ("unique.key=patient-7", "like(unique.key,patient)", "unique.while=active"):
        assert [task["id"] for task in (await service.get(f"?{query}"))["data"]] == [first["id"]], query
    assert (await service.get("?unique.while=60"))["page"]["total"] == 1


async def test_a_schedule_has_a_key_for_its_tasks(service: Service) -> None:
    schedule = await post(service, "/schedules", {"functionName": "hello", "interval": 60, "unique": REPLACE})
    assert schedule["unique"] == {**REPLACE, "while": "active"}
    assert (await service.get("/schedules?unique.key=patient-7"))["data"] == [schedule]
    trigger = f"/schedules/{schedule['id']}/trigger"
    task = await post(service, trigger, None)
    assert task["unique"] == {"key": "patient-7", "while": "active"}
    again = await post(service, trigger, None)
    assert (again["id"], again["conflict"]) == (task["id"], True)
    path = f"{BASE}/schedules/{schedule['id']}"
    async with service.client.put(path, json={"unique": {**KEY, "onConflict": "reject"}}) as response:
        assert (await response.json())["unique"]["onConflict"] == "reject"
    async with service.client.post(BASE + trigger) as response:
        await assert_error(response, 17)
    async with service.client.put(path, json={"unique": None}) as response:
        assert "unique" not in await response.json()
    assert "conflict" not in await post(service, trigger, None)


async def from_test_headers(request: web.Request) -> Caller:
    permissions = frozenset(request.headers.get("Test-May", "VIEW_TASKS CREATE_TASKS").split())
    return Caller(request.headers.get("Test-User"), None, permissions, is_authenticated=True)


async def test_who_may_only_create_sees_nothing_of_the_tasks_of_others(tmp_path: Path) -> None:
    body = {"functionName": "hello", "unique": KEY, "data": {"secret": 1}, "tags": ["secret"]}
    async with http_service(tmp_path, authenticate=from_test_headers) as service:
        first = await post(service, "", body, **{"Test-User": "a"})
        seen = await post(service, "", body, **{"Test-User": "b"})
        assert (seen["data"], seen["tags"], seen["createdByUserId"]) == ({"secret": 1}, ["secret"], "a")
        unseen = await post(service, "", body, **{"Test-User": "b", "Test-May": "CREATE_TASKS"})
        assert (unseen["id"], unseen["conflict"], unseen["data"], unseen["tags"]) == (first["id"], True, {}, [])
        assert "createdByUserId" not in unseen
        own = await post(service, "", body, **{"Test-User": "a", "Test-May": "CREATE_TASKS"})
        assert own["data"] == {"secret": 1}


async def test_who_sent_a_key_sees_nothing_of_whoever_replaced_the_task_since(tmp_path: Path) -> None:
    mine, theirs = {"Test-User": "a", "Test-May": "CREATE_TASKS"}, {"Test-User": "b"}
    body = {"functionName": "hello", "startTimestamp": "2999-01-01T00:00:00Z"}
    async with http_service(tmp_path, authenticate=from_test_headers) as service:
        keyed = {**mine, "Idempotency-Key": "k"}
        await post(service, "", {**body, "unique": KEY}, **keyed)
        secret = {**body, "unique": {**KEY, "onConflict": "replace"}, "data": {"secret": 1}}
        assert (await post(service, "", secret, **theirs))["conflict"]
        again = await post(service, "", {**body, "unique": KEY}, **keyed)
        assert (again["data"], "createdByUserId" in again) == ({}, False)


async def test_who_may_only_create_and_replaces_a_task_of_others_is_not_told_its_tags(tmp_path: Path) -> None:
    body = {"functionName": "hello", "startTimestamp": "2999-01-01T00:00:00Z"}
    async with http_service(tmp_path, authenticate=from_test_headers) as service:
        await post(service, "", {**body, "unique": KEY, "tags": ["secret"]}, **{"Test-User": "b"})
        replacing = {**body, "unique": {**KEY, "onConflict": "replace"}, "data": {"mine": 1}}
        taken = await post(service, "", replacing, **{"Test-User": "a", "Test-May": "CREATE_TASKS"})
        assert (taken["conflict"], taken["data"], taken["tags"]) == (True, {"mine": 1}, [])


async def run(service: Service, *arguments: str) -> int:
    return await asyncio.to_thread(main, [*arguments, "--url", service.url])


async def test_the_command_line_has_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = ("--unique", "k", "--while", "3600")
    async with http_service(tmp_path) as service:
        assert await run(service, "tasks", "create", "hello", *key) == ExitCode.OK
        assert await run(service, "tasks", "create", "hello", *key) == ExitCode.OK
        assert "has the unique key k: new" in capsys.readouterr().out
        assert await run(service, "tasks", "create", "hello", *key, "--on-conflict", "reject") == ExitCode.FAILED
        assert "unique key 'k'" in capsys.readouterr().err
        assert await run(service, "tasks", "create", "hello", "--while", "active") == ExitCode.USAGE
        assert await run(service, "tasks", "create", "hello", "--unique", "k", "--while", "x") == ExitCode.USAGE
        capsys.readouterr()
        created = ("schedules", "create", "hello", "--every", "5m", *key, "--json")
        assert await run(service, *created) == ExitCode.OK
        schedule = json.loads(capsys.readouterr().out)
        assert schedule["unique"] == {"key": "k", "while": 3600, "onConflict": "existing"}
        assert await run(service, "schedules", "update", schedule["id"], "--clear", "unique") == ExitCode.OK
        assert "unique" not in await service.get(f"/schedules/{schedule['id']}")
