"""Operations in bulk over HTTP: what may be asked for, by whom, and what is answered."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse
from msgspec.structs import replace
from support.auth.accounts import EVERYBODY, holder, with_holders
from support.auth.service import SecuredService, secured_service
from support.http.error_shape import assert_error
from support.http.service import BASE, Service

from taskd.auth.task_creators import TaskCreators
from taskd.model import limits

OPERATIONS = "/taskd/v1/operations"
ALL = holder(1001, "ALL")
VIEWER = holder(1002, "VIEW_TASKS")
CANCELLER = holder(1003, "VIEW_TASKS", "CANCEL_TASKS")
REPLAYER = holder(1004, "VIEW_TASKS", "CREATE_TASKS")
DELETER = holder(1006, "VIEW_TASKS", "DELETE_TASKS")
AUDITOR = holder(1005, "VIEW_AUDIT")
ERASER = holder(1007, "VIEW_TASKS", "DELETE_TASKS", "CANCEL_TASKS")
ACCOUNTS = with_holders(EVERYBODY, ALL, VIEWER, CANCELLER, REPLAYER, DELETER, AUDITOR, ERASER)
SMALL = "x" * 64


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[SecuredService]:
    async with secured_service(tmp_path, ACCOUNTS) as secured:
        yield secured


async def call(service: Service, method: str, path: str, body: object = None, **headers: str) -> Any:
    async with service.client.request(method, OPERATIONS + path, json=body, headers=headers) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def asked(secured: SecuredService, token: str, method: str, path: str, body: object = None) -> ClientResponse:
    headers = {"Authorization": f"Bearer {token}"}
    response = await secured.service.client.request(method, path, json=body, headers=headers)
    await response.read()
    return response


async def finish(service: Service) -> None:
    while await service.store.advance_operations(100):
        pass


async def test_tasks_are_cancelled_by_what_they_are(service: Service) -> None:
    tasks = [await service.create(tags=["old"]) for _ in range(3)]
    kept = await service.create()
    operation = await call(service, "POST", "", {"action": "cancel", "rql": "tags=old"})
    assert (operation["status"], operation["matched"], operation["done"], operation["skipped"]) == ("running", 3, 0, 0)
    assert await call(service, "GET", f"/{operation['id']}") == operation
    await finish(service)
    ended = await call(service, "GET", f"/{operation['id']}")
    assert (ended["status"], ended["done"]) == ("done", 3)
    assert {(await service.get(f"/{task['id']}"))["status"] for task in tasks} == {"canceled"}
    assert (await service.get(f"/{kept['id']}"))["status"] == "new"


async def test_a_replay_shows_where_it_is_from_and_the_old_one_what_became_of_it(service: Service) -> None:
    old = await service.create(data={"n": 1}, priority=4, tags=["a"])
    await service.start_all()
    await service.finish(old["id"])
    fields = {"data": {"n": 2}, "priority": 9, "startTimestamp": "2999-01-01T00:00:00.000Z", "ratePerSecond": 2.5}
    body = {"action": "replay", "rql": f"id={old['id']}", **fields}
    operation = await call(service, "POST", "", body)
    assert {name: operation[name] for name in fields} == fields
    await finish(service)
    replayed_by = (await service.get(f"/{old['id']}"))["replayedByTaskId"]
    new = await service.get(f"/{replayed_by}")
    assert (new["replayOfTaskId"], new["data"], new["priority"], new["tags"]) == (old["id"], {"n": 2}, 9, ["a"])
    assert new["startTimestamp"] == fields["startTimestamp"]
    assert (await service.get(f"?replayOfTaskId={old['id']}"))["data"] == [new]
    assert "data" not in await call(service, "GET", f"/{operation['id']}")


async def test_a_dry_run_answers_the_count_and_the_first_ten_and_does_nothing(service: Service) -> None:
    tasks = [await service.create(data={"long": SMALL}) for _ in range(12)]
    answer = await call(service, "POST", "", {"action": "cancel", "rql": "functionName=hello", "dryRun": True})
    assert (answer["dryRun"], answer["matched"], answer["done"]) == (True, 12, 0)
    assert [task["id"] for task in answer["first"]] == [task["id"] for task in tasks[:10]]
    assert "id" not in answer
    assert SMALL not in str(answer)
    assert (await call(service, "GET", ""))["data"] == []
    assert (await service.get("?status=new"))["page"]["total"] == 12


async def test_a_dry_run_that_looks_at_everything_says_so(service: Service) -> None:
    body = {"action": "cancel", "rql": "data.n=1", "dryRun": True}
    async with service.client.post(OPERATIONS, json=body) as response:
        assert 'indexes = ["data.n"]' in response.headers["Taskd-Notice"]


@pytest.mark.parametrize(
    ("fields", "code", "part"),
    [
        ({"action": None}, 14, "action"),
        ({"rql": None}, 14, "rql"),
        ({"action": "explode"}, 15, "cancel, replay, delete"),
        ({"action": "delete", "priority": 1}, 26, "priority"),
        ({"rql": ""}, 15, "gt(creationTimestamp,0)"),
        ({"rql": "&&"}, 15, "rql"),
        ({"rql": 5}, 15, "rql"),
        ({"rql": "status(failed)"}, 19, "operator"),
        ({"rql": "a=1&limit(20)"}, 19, "limit"),
        ({"rql": "a=1&sort(-id)"}, 19, "sort"),
        ({"rql": "startTimestamp=never"}, 19, "A time is expected"),
        ({"rql": "a=" + "x" * 20_000}, 19, "16384"),
        ({"rql": "(" * 40 + "a=1" + ")" * 40}, 19, "nested"),
        ({"ratePerSecond": 0}, 15, "ratePerSecond"),
        ({"ratePerSecond": -1}, 15, "ratePerSecond"),
        ({"ratePerSecond": 1e300}, 15, "ratePerSecond"),
        ({"ratePerSecond": "fast"}, 15, "ratePerSecond"),
        ({"dryRun": "yes"}, 15, "dryRun"),
        ({"action": "cancel", "data": {}}, 26, "data"),
        ({"action": "cancel", "priority": 0}, 26, "priority"),
        ({"action": "cancel", "startTimestamp": 0}, 26, "startTimestamp"),
        ({"data": [1]}, 15, "data"),
        ({"data": {"a": "x" * 65_536}}, 1414, "65536"),
        ({"priority": 1.5}, 15, "priority"),
        ({"startTimestamp": "soon"}, 15, "startTimestamp"),
    ],
)
async def test_what_makes_no_sense_is_refused_and_nothing_is_done(
    service: Service, fields: dict[str, Any], code: int, part: str
) -> None:
    body = {"action": "replay", "rql": "status=failed", **fields}
    for dry_run in ({}, {"dryRun": True}) if "dryRun" not in fields else ({},):
        async with service.client.post(OPERATIONS, json={**body, **dry_run}) as response:
            assert part in (await assert_error(response, code))["message"]
    assert (await call(service, "GET", ""))["page"]["total"] == 0


async def test_null_is_as_good_as_nothing(service: Service) -> None:
    nothing = {"dryRun": None, "ratePerSecond": None, "data": None, "priority": None, "startTimestamp": None}
    operation = await call(service, "POST", "", {"action": "cancel", "rql": "status=failed", **nothing})
    assert operation["status"] == "done"
    assert not {*nothing} & {*operation}


async def test_an_erasure_is_refused_while_a_match_runs_and_names_what_is_out_of_its_reach(service: Service) -> None:
    running = await service.create(data={"patientId": "p"})
    await service.start_all()
    body = {"action": "erase", "rql": "data.patientId=p"}
    async with service.client.post(OPERATIONS, json=body) as response:
        assert running["id"] in (await assert_error(response, 27))["message"]
    await service.finish(running["id"])
    for patient in ("p", "other"):
        schedule = {"functionName": "hello", "interval": 3600, "data": {"patientId": patient}}
        assert (await service.client.post(f"{BASE}/schedules", json=schedule)).status == 200
    operation = await call(service, "POST", "", body)
    [kept] = (await service.get("/schedules"))["data"]
    assert kept["data"] == {"patientId": "other"}
    assert any("backups" in each for each in operation["outside"])
    await finish(service)
    ended = await call(service, "GET", f"/{operation['id']}")
    assert (ended["status"], ended["rql"][:7]) == ("done", "sha256:")
    assert (await service.get(""))["data"] == []


async def test_an_erasure_that_is_refused_or_sent_again_removes_no_schedules(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = {"functionName": "hello", "interval": 3600, "data": {"patientId": "p"}}
    body = {"action": "erase", "rql": "data.patientId=p"}
    first = await call(service, "POST", "", body, **{"Idempotency-Key": "k"})
    assert (await service.client.post(f"{BASE}/schedules", json=schedule)).status == 200
    assert (await call(service, "POST", "", body, **{"Idempotency-Key": "k"}))["id"] == first["id"]
    monkeypatch.setattr(limits, "OPERATIONS_RUNNING_MAX", 1)
    async with service.client.post(OPERATIONS, json=body) as response:
        assert response.status == 429
    assert len((await service.get("/schedules"))["data"]) == 1


async def test_an_operation_is_aborted_once(service: Service) -> None:
    await service.create()
    operation = await call(service, "POST", "", {"action": "cancel", "rql": "status=new"})
    aborted = await call(service, "POST", f"/{operation['id']}/abort")
    assert aborted["status"] == "aborted"
    await finish(service)
    assert await call(service, "GET", f"/{operation['id']}") == aborted
    async with service.client.post(f"{OPERATIONS}/{operation['id']}/abort") as response:
        await assert_error(response, 27)


@pytest.mark.parametrize(("operation_id", "code"), [("0" * 24, 16), ("nonsense", 12)])
async def test_an_unknown_operation_is_neither_shown_nor_aborted(
    service: Service, operation_id: str, code: int
) -> None:
    async with service.client.get(f"{OPERATIONS}/{operation_id}") as response:
        await assert_error(response, code)
    async with service.client.post(f"{OPERATIONS}/{operation_id}/abort") as response:
        await assert_error(response, code)


async def test_operations_are_listed_in_pages(service: Service) -> None:
    made = [await call(service, "POST", "", {"action": "cancel", "rql": f"priority={n}"}) for n in range(3)]
    page = await call(service, "GET", "?sort(-id)&limit(2)")
    assert page["data"] == made[:0:-1]
    assert page["page"] == {"offset": 0, "limit": 2, "total": 3}
    assert (await call(service, "GET", "?rql=string:priority%253D1"))["data"] == [made[1]]


async def test_a_request_that_is_sent_again_with_its_key_makes_one_operation(service: Service) -> None:
    old = await service.create()
    await service.start_all()
    await service.finish(old["id"])
    headers = {"Idempotency-Key": "again"}
    body = {"action": "replay", "rql": "status=complete"}
    first = await call(service, "POST", "", body, **headers)
    await finish(service)
    assert (await call(service, "POST", "", body, **headers))["id"] == first["id"]
    assert (await service.get("?status=new"))["page"]["total"] == 1
    async with service.client.post(OPERATIONS, json={**body, "priority": 1}, headers=headers) as response:
        await assert_error(response, 26)


@pytest.mark.parametrize(
    ("action", "permitted", "refused", "permission"),
    [
        ("cancel", CANCELLER.token, (VIEWER.token, REPLAYER.token), "CANCEL_TASKS"),
        ("replay", REPLAYER.token, (VIEWER.token, CANCELLER.token), "CREATE_TASKS"),
        ("erase", ERASER.token, (VIEWER.token, REPLAYER.token, CANCELLER.token), "DELETE_TASKS"),
        ("erase", ERASER.token, (DELETER.token,), "CANCEL_TASKS"),
        ("delete", DELETER.token, (VIEWER.token, REPLAYER.token), "DELETE_TASKS"),
    ],
)
async def test_each_action_needs_its_permission(
    secured: SecuredService, action: str, permitted: str, refused: tuple[str, ...], permission: str
) -> None:
    response = await asked(secured, ALL.token, "POST", BASE, {"functionName": "hello"})
    assert response.status == 200
    body = {"action": action, "rql": "functionName=hello"}
    for asking in (body, {**body, "dryRun": True}):
        for token in refused:
            error = await assert_error(await asked(secured, token, "POST", OPERATIONS, asking), 10)
            assert permission in error["message"]
    made = await (await asked(secured, permitted, "POST", OPERATIONS, body)).json()
    for token in refused:
        await assert_error(await asked(secured, token, "POST", f"{OPERATIONS}/{made['id']}/abort"), 10)
    assert (await asked(secured, VIEWER.token, "GET", f"{OPERATIONS}/{made['id']}")).status == 200
    assert (await asked(secured, permitted, "POST", f"{OPERATIONS}/{made['id']}/abort")).status == 200


async def test_an_erasure_takes_no_schedules_of_others_along_without_leave_for_that(secured: SecuredService) -> None:
    schedule = {"functionName": "hello", "interval": 3600, "data": {"patientId": "p"}}
    assert (await asked(secured, ALL.token, "POST", f"{BASE}/schedules", schedule)).status == 200
    body = {"action": "erase", "rql": "data.patientId=p"}
    error = await assert_error(await asked(secured, ERASER.token, "POST", OPERATIONS, body), 10)
    assert "DELETE_TASK_SCHEDULE" in error["message"]
    assert (await asked(secured, ERASER.token, "POST", OPERATIONS, {**body, "rql": "tags=p"})).status == 200
    listed = await (await asked(secured, ALL.token, "GET", f"{BASE}/schedules")).json()
    assert len(listed["data"]) == 1
    assert (await asked(secured, ALL.token, "POST", OPERATIONS, body)).status == 200


async def test_replays_are_made_in_the_name_of_who_asked_for_them(secured: SecuredService) -> None:
    old = await (await asked(secured, ALL.token, "POST", BASE, {"functionName": "hello"})).json()
    await secured.service.start_all()
    await secured.service.finish(old["id"])
    body = {"action": "replay", "rql": "status=complete"}
    made = await (await asked(secured, REPLAYER.token, "POST", OPERATIONS, body)).json()
    assert made["createdByUserId"] == REPLAYER.user.id
    await finish(secured.service)
    page = await (await asked(secured, ALL.token, "GET", f"{BASE}?status=new")).json()
    assert [task["createdByUserId"] for task in page["data"]] == [REPLAYER.user.id]


async def test_who_did_it_is_in_the_audit_trail_and_what_they_looked_for_is_not(secured: SecuredService) -> None:
    await asked(secured, ALL.token, "POST", BASE, {"functionName": "hello", "data": {"patientId": "p-77"}})
    body = {"action": "cancel", "rql": "data.patientId=p-77", "dryRun": True}
    assert (await asked(secured, CANCELLER.token, "POST", OPERATIONS, body)).status == 200
    made = await (await asked(secured, CANCELLER.token, "POST", OPERATIONS, {**body, "dryRun": False})).json()
    await asked(secured, CANCELLER.token, "POST", f"{OPERATIONS}/{made['id']}/abort")
    await asked(secured, VIEWER.token, "POST", OPERATIONS, body)
    text = await (await asked(secured, AUDITOR.token, "GET", "/taskd/v1/audit")).json()
    entries = {
        (each["action"], each.get("subjectId"), each["outcome"], str(each.get("detail"))) for each in text["data"]
    }
    assert entries == {
        ("operations.create", None, "done", "{'action': 'cancel', 'dryRun': 'true'}"),
        ("operations.create", made["id"], "done", "{'action': 'cancel', 'matched': '1'}"),
        ("operations.abort", made["id"], "done", "None"),
        ("operations.create", None, "failed", "None"),
    }
    assert "p-77" not in str(text)
    assert {each["userId"] for each in text["data"]} == {CANCELLER.user.id, VIEWER.user.id}


async def test_an_operation_of_somebody_who_may_do_that_no_longer_fails_and_says_why(secured: SecuredService) -> None:
    await asked(secured, ALL.token, "POST", BASE, {"functionName": "hello"})
    body = {"action": "cancel", "rql": "status=new"}
    made = [await (await asked(secured, CANCELLER.token, "POST", OPERATIONS, body)).json() for _ in range(2)]
    users = tuple(replace(u, permissions=("VIEW_TASKS",)) if u.id == CANCELLER.user.id else u for u in ACCOUNTS.users)
    secured.change(replace(ACCOUNTS, users=users))
    ended = await secured.service.store.advance_operations(10, TaskCreators(secured.auth).operation_objection)
    assert [(each.id, each.status, each.done) for each in ended] == [(each["id"], "failed", 0) for each in made]
    shown = await (await asked(secured, VIEWER.token, "GET", f"{OPERATIONS}/{made[0]['id']}")).json()
    assert shown["error"] == f"The user {CANCELLER.user.id} that it works for lacks CANCEL_TASKS."
