"""Webhooks over HTTP: made, changed, rotated, looked at, tried out; by those who may."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.auth.accounts import EVERYBODY, holder, with_holders
from support.auth.service import SecuredService, secured_service
from support.http.error_shape import assert_error
from support.http.service import Service, http_service

from taskd.auth.task_creators import TaskCreators
from taskd.model.delivery import Attempt
from taskd.rql.parser import parse
from taskd.webhooks.signature import is_secret, new_secret

PATH = "/taskd/v1/webhooks"
BODY: dict[str, Any] = {"url": "https://example.com/hook?key=1", "events": ["task.complete"]}
UNKNOWN = "0" * 24
MANAGER, VIEWER = holder(1001, "MANAGE_WEBHOOKS"), holder(1002, "MANAGE_WEBHOOKS", "VIEW_TASKS")
OF_EVENTS = holder(1003, "MANAGE_WEBHOOKS", "VIEW_EVENTS")
ACCOUNTS = with_holders(EVERYBODY, MANAGER, VIEWER, OF_EVENTS)


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with http_service(tmp_path) as service:
        yield service


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[SecuredService]:
    async with secured_service(tmp_path, ACCOUNTS) as secured:
        yield secured


async def call(service: Service, method: str, path: str, body: Any = None) -> Any:
    async with service.client.request(method, PATH + path, json=body) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def test_secrets_are_shown_when_they_are_new_and_never_again(service: Service) -> None:
    made = await call(service, "POST", "", {**BODY, "description": "for the team", "include": ["data"]})
    [secret] = made.pop("secrets")
    assert is_secret(secret)
    assert (made["url"], made["events"], made["enabled"], made["include"]) == (
        BODY["url"],
        ["task.complete"],
        True,
        ["data"],
    )
    one = f"/{made['id']}"
    assert await call(service, "GET", one) == made
    assert (await call(service, "GET", "?enabled=true&like(url,EXAMPLE)"))["data"] == [made]
    changed = await call(
        service, "PUT", one, {"enabled": False, "description": None, "events": ["task.failed", "mine"]}
    )
    assert (changed["enabled"], changed["events"]) == (False, ["task.failed", "mine"])
    assert "description" not in changed
    assert "secrets" not in changed
    assert await call(service, "DELETE", one) == {"affectedRecords": 1}
    async with service.client.get(PATH + one) as response:
        await assert_error(response, 16)


async def test_rotating_keeps_the_secret_before_for_a_while(service: Service) -> None:
    mine = [new_secret(), new_secret()]
    made = await call(service, "POST", "", {**BODY, "secrets": mine})
    assert made["secrets"] == mine
    rotated = await call(service, "POST", f"/{made['id']}/rotate")
    assert len(rotated["secrets"]) == 1
    assert rotated["secrets"] != mine[:1]
    own = new_secret()
    rotated = await call(service, "POST", f"/{made['id']}/rotate", {"secret": own, "overlapSeconds": 0})
    assert rotated["secrets"] == [own]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"url": None}, 14),
        ({"events": None}, 14),
        ({"url": "http://10.0.0.1/"}, 15),
        ({"url": "https://user:secret@example.com/"}, 15),
        ({"url": 5}, 15),
        ({"events": []}, 15),
        ({"events": ["task.comlete"]}, 15),
        ({"events": ["x" * 129]}, 15),
        ({"events": ["a"] * 51}, 15),
        ({"rql": "limit(5)"}, 19),
        ({"rql": "dta.a=1"}, 19),
        ({"rql": "data.a=1", "events": ["task.failed", "mine"]}, 15),
        ({"include": ["logs"]}, 15),
        ({"secrets": []}, 15),
        ({"secrets": ["whsec_short"]}, 15),
        ({"secrets": [new_secret()] * 3}, 15),
        ({"description": "x" * 1001}, 15),
        ({"enabled": "yes"}, 15),
    ],
)
async def test_a_webhook_that_cannot_be_is_refused_and_nothing_is_made(
    service: Service, fields: dict[str, Any], code: int
) -> None:
    async with service.client.post(PATH, json={**BODY, **fields}) as response:
        await assert_error(response, code)
    assert (await call(service, "GET", ""))["data"] == []


async def test_changes_that_make_no_sense_change_nothing(service: Service) -> None:
    made = await call(service, "POST", "", BODY)
    one = f"{PATH}/{made['id']}"
    for body in ({"url": "ftp://a"}, {"secrets": [new_secret()]}, {"events": ["task.x"]}):
        async with service.client.put(one, json=body) as response:
            await assert_error(response, 15)
    async with service.client.post(f"{one}/rotate", json={"secret": "x"}) as response:
        await assert_error(response, 15)
    async with service.client.post(f"{one}/rotate", json={"overlapSeconds": -1}) as response:
        await assert_error(response, 15)
    for method, path in (("PUT", ""), ("POST", "/rotate"), ("POST", "/test"), ("GET", "/deliveries"), ("DELETE", "")):
        async with service.client.request(method, f"{PATH}/{UNKNOWN}{path}", json={"enabled": True}) as response:
            await assert_error(response, 16)
    del made["secrets"]
    assert await call(service, "GET", f"/{made['id']}") == made


async def test_deliveries_are_looked_at_and_made_again(service: Service) -> None:
    made = await call(service, "POST", "", BODY)
    one = f"/{made['id']}"
    tried = await call(service, "POST", f"{one}/test")
    assert (tried["event"], tried["subjectId"], tried["status"], tried["attempts"]) == (
        "webhook.test",
        made["id"],
        "waiting",
        0,
    )
    task = await service.create()
    await service.start_all()
    await service.finish(task["id"])
    assert (await service.store.fan_out(10)).deliveries == 1
    begun = await service.store.begin_deliveries(made["id"], 10)
    await service.store.settle_deliveries(
        [Attempt(each.id, 1_700_000_000_000, 500, "The answer ...") for each in begun]
    )
    page = await call(
        service, "GET", f"{one}/deliveries?subjectId={task['id']}&statusCode=500&sort(-creationTimestamp)"
    )
    [delivery] = page["data"]
    assert (delivery["status"], delivery["attempts"], delivery["error"]) == ("waiting", 1, "The answer ...")
    again = await call(service, "POST", f"{one}/deliveries/{delivery['id']}/redeliver")
    assert (again["id"], again["attempts"]) == (delivery["id"], 0)
    assert (await call(service, "GET", f"{one}/deliveries?attempts=0"))["data"] == [again]
    for path, code in ((f"{one}/deliveries/{UNKNOWN}/redeliver", 16), (f"{one}/deliveries/x/redeliver", 12)):
        async with service.client.post(PATH + path) as response:
            await assert_error(response, code)


async def test_only_who_may_view_tasks_is_told_of_them(secured: SecuredService) -> None:
    async def send(method: str, path: str, token: str, body: Any) -> Any:
        headers = {"Authorization": f"Bearer {token}"}
        response = await secured.service.client.request(method, PATH + path, json=body, headers=headers)
        await response.read()
        return response

    await assert_error(await send("POST", "", MANAGER.token, BODY), 10)
    await assert_error(await send("POST", "", VIEWER.token, {**BODY, "events": ["mine"]}), 10)
    assert (await send("POST", "", OF_EVENTS.token, {**BODY, "events": ["mine"]})).status == 200
    await assert_error(await send("POST", "", OF_EVENTS.token, BODY), 10)
    made = await (await send("POST", "", VIEWER.token, BODY)).json()
    one = f"/{made['id']}"
    await assert_error(await send("PUT", one, MANAGER.token, {"url": "https://other.example"}), 10)
    objection = TaskCreators(secured.auth).webhook_objection
    kept = await secured.service.store.webhook(made["id"])
    assert objection(kept) is None
    secured.change(with_holders(EVERYBODY, MANAGER))
    assert objection(kept) == f"The user {kept.created_by_user_id} that it was made by is gone."
    assert (await send("PUT", one, MANAGER.token, {"enabled": False})).status == 200
    await assert_error(await send("PUT", one, MANAGER.token, {"enabled": True}), 10)


@pytest.mark.parametrize("steps", [[{"events": ["mine"]}], [{"enabled": False, "events": ["mine"]}, {"enabled": True}]])
async def test_who_may_not_view_tasks_turns_no_webhook_of_tasks_to_themselves(
    secured: SecuredService, steps: list[dict[str, Any]]
) -> None:
    """What waits for it, and what was delivered and may be again, would come along."""

    async def send(method: str, path: str, token: str, body: Any) -> Any:
        headers = {"Authorization": f"Bearer {token}"}
        async with secured.service.client.request(method, PATH + path, json=body, headers=headers) as response:
            return response.status, await response.json()

    _, made = await send("POST", "", VIEWER.token, BODY)
    one = f"/{made['id']}"
    for step in steps:
        await send("PUT", one, MANAGER.token, {"url": "https://other.example", **step})
    kept = await secured.service.store.webhook(made["id"])
    assert (kept.url, kept.events) == (BODY["url"], tuple(BODY["events"]))
    assert (await send("PUT", one, MANAGER.token, {"enabled": False, "description": "off"}))[0] == 200


async def test_what_is_done_to_webhooks_is_in_the_audit_trail_without_secrets(service: Service) -> None:
    made = await call(service, "POST", "", BODY)
    one = f"/{made['id']}"
    await call(service, "PUT", one, {"enabled": False, "description": "x"})
    rotated = await call(service, "POST", f"{one}/rotate")
    await call(service, "POST", f"{one}/test")
    [delivery] = (await service.store.find_deliveries(made["id"], parse(""))).rows
    await call(service, "POST", f"{one}/deliveries/{delivery.id}/redeliver")
    await call(service, "DELETE", one)
    async with service.client.get("/taskd/v1/audit?subjectType=webhook") as response:
        text = await response.text()
        entries = (await response.json())["data"]
    did = ["create", "update", "rotate", "test", "redeliver", "delete"]
    assert [entry["action"] for entry in entries] == [f"webhooks.{what}" for what in did]
    assert {(entry["subjectId"], entry["outcome"]) for entry in entries} == {(made["id"], "done")}
    assert entries[0]["detail"] == {"host": "example.com", "events": "task.complete"}
    assert not any(secret in text for secret in rotated["secrets"])
    assert "key=1" not in text
