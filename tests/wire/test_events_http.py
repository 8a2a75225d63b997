"""Events and dispatchers over HTTP, byte for byte: shapes, names, times, codes, limits."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.auth.accounts import EVERYBODY, holder, with_holders
from support.auth.service import secured_service
from support.http.error_shape import assert_error
from support.http.service import Service, http_service

from taskd.model import limits

EVENTS = "/events/v1/"
SUBSCRIPTIONS = "/events/v1/subscriptions"
DISPATCHERS = "/dispatchers/v1/"
UNKNOWN = "0" * 24
RUN = {"type": "task", "functionName": "f"}
SERVICE = {"name": "s", "version": {"major": 1, "minor": 0, "patch": 0}}
QUERIES: list[tuple[str, list[int]]] = [
    ("eq(type,task%255Ffailed)", [0]),
    ("content.user%255Fid=a", [1]),
    ("type=order&gt(creation_timestamp,2020-01-01T00:00:00.000Z)", [1, 2]),
    ("type=order&lt(creation_timestamp,1)", []),
    ("sort(-type,content.user_id)", [0, 1, 2]),
    ("limit(1000)&skip_count()", [0, 1, 2]),
    ("limit(1000)&skipCount()", [0, 1, 2]),
]
REFUSED: list[tuple[str, Any, int]] = [
    (EVENTS, {}, 14),
    (EVENTS, {"type": ""}, 15),
    (EVENTS, {"type": "x" * 257}, 15),
    (EVENTS, {"type": "a\x00"}, 15),
    (EVENTS, {"type": "t", "content": []}, 15),
    (EVENTS, {"type": "t", "id": ""}, 15),
    (EVENTS, {"type": "t", "id": "x" * 256}, 15),
    (EVENTS, {"type": "t", "content": {"x": "y" * limits.EVENT_CONTENT_MAX_BYTES}}, 1414),
    (EVENTS, [], 22),
    (SUBSCRIPTIONS, {"service": SERVICE}, 14),
    (SUBSCRIPTIONS, {"event_types": []}, 14),
    (SUBSCRIPTIONS, {"event_types": [""], "service": SERVICE}, 15),
    (SUBSCRIPTIONS, {"event_types": [], "service": {"name": "s", "version": {"major": -1}}}, 15),
    (DISPATCHERS, {"eventType": "t"}, 14),
    (DISPATCHERS, {"actions": []}, 14),
    (DISPATCHERS, {"eventType": "", "actions": []}, 15),
    (DISPATCHERS, {"eventType": "t", "actions": [RUN] * 21}, 15),
    (DISPATCHERS, {"eventType": "t", "actions": [{"functionName": "f"}]}, 15),
    (DISPATCHERS, {"eventType": "t", "actions": [{"type": "task"}]}, 14),
    (DISPATCHERS, {"eventType": "t", "actions": [{**RUN, "functionName": "not a name"}]}, 15),
    (DISPATCHERS, {"eventType": "t", "actions": [{**RUN, "data": []}]}, 15),
    (DISPATCHERS, {"eventType": "t", "actions": [{**RUN, "data": {"x": "y" * 65_536}}]}, 1414),
    (DISPATCHERS, {"eventType": "t", "actions": [{**RUN, "startTimestamp": "soon"}]}, 15),
    (DISPATCHERS, {"eventType": "t", "actions": [{"type": "mail", "templateId": "x"}]}, 15),
    (DISPATCHERS, {"eventType": "t", "actions": [{"type": "mail", "recipients": "x"}]}, 15),
    (DISPATCHERS, {"eventType": "t", "actions": [{**RUN, "name": "a"}, {**RUN, "name": "a"}]}, 17),
    (DISPATCHERS + UNKNOWN + "/actions", RUN, 16),
    (DISPATCHERS + "abc/actions", RUN, 12),
]
"""One service for them all: to start one takes longer."""


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with http_service(tmp_path) as service:
        yield service


async def sent(service: Service, method: str, path: str, body: Any = None) -> Any:
    """What a request that succeeds is answered."""
    async with service.client.request(method, path, json=body) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def test_an_event_comes_back_byte_for_byte(service: Service) -> None:
    content = b'{"n":1.50, "userId":[], "b":{"x_y":{}}, "u":"\\u00e9"}'
    body = b'{"type":"order","unknown":1,"content":%b}' % content
    async with service.client.post(EVENTS, data=body, headers={"Content-Type": "application/json"}) as response:
        event = await response.read()
        made = await response.json()
    expected = b'{"id":"%b","type":"order","content":%b,"creation_timestamp":%d}'
    assert event == expected % (made["id"].encode(), content, made["creation_timestamp"])
    async with service.client.get(EVENTS) as response:
        page = await response.read()
    assert page == b'{"query":"{}","page":{"offset":0,"limit":20,"total":1},"data":[%b]}' % event
    bare = await sent(service, "POST", EVENTS, {"type": "bare", "content": None})
    assert set(bare) == {"id", "type", "creation_timestamp"}


async def test_events_are_listed_as_queries_say(service: Service) -> None:
    bodies = [("task_failed", {}), ("order", {"user_id": "a"}), ("order", {"user_id": "b"})]
    for type_, content in bodies:
        await sent(service, "POST", EVENTS, {"type": type_, "content": content})
    for query, found in QUERIES:
        page = await sent(service, "GET", f"{EVENTS}?{query}")
        seen = [(event["type"], event["content"]) for event in page["data"]]
        assert seen == [bodies[place] for place in found], query
        assert page["page"]["limit"] == (100 if "limit" in query else 20), query
        assert ("total" in page["page"]) == ("ount()" not in query), query


async def test_what_breaks_a_rule_is_refused_and_leaves_nothing(service: Service) -> None:
    for path, body, code in REFUSED:
        await assert_error(await service.client.post(path, json=body), code)
    for listed in (EVENTS, SUBSCRIPTIONS, DISPATCHERS):
        assert (await sent(service, "GET", listed))["data"] == []


async def test_content_is_as_deep_as_it_still_fits_a_task(service: Service) -> None:
    await sent(service, "POST", DISPATCHERS, {"eventType": "t", "actions": [RUN]})
    for depth, status in ((limits.EVENT_CONTENT_MAX_DEPTH, 200), (limits.EVENT_CONTENT_MAX_DEPTH + 1, 400)):
        content = b'{"a":' * depth + b"1" + b"}" * depth
        async with service.client.post(EVENTS, data=b'{"type":"t","content":%b}' % content) as response:
            assert response.status == status
    [task] = (await service.get(""))["data"]
    assert task["data"]["event"]["type"] == "t"


async def test_an_id_that_was_used_for_another_event_is_refused(service: Service) -> None:
    body = {"type": "order", "content": {"n": 1}, "id": "evt-1"}
    first = await sent(service, "POST", EVENTS, body)
    assert await sent(service, "POST", EVENTS, body) == first
    await assert_error(await service.client.post(EVENTS, json={**body, "type": "other"}), 26)
    assert (await sent(service, "GET", EVENTS))["data"] == [first]


async def test_a_dispatcher_in_its_shape(service: Service) -> None:
    mail = {"type": "mail", "recipients": {"to": ["a@example.com"]}, "templateId": "1" * 24, "templateName": "x"}
    run = {**RUN, "data": {"a_b": 1}, "tags": [], "startTimestamp": "2999-01-01T00:00:00.000Z"}
    made = await sent(service, "POST", DISPATCHERS, {"eventType": "t", "actions": [run, mail], "ignored": 1})
    assert set(made) == {"id", "eventType", "actions", "creationTimestamp", "updateTimestamp"}
    assert isinstance(made["creationTimestamp"], int)
    del mail["templateName"]
    assert [{**action, "id": ""} for action in made["actions"]] == [{**run, "id": ""}, {**mail, "id": ""}]
    path = f"{DISPATCHERS}{made['id']}"
    changes = {"name": "n", "description": "d", "tags": ["x"], "actions": [], "eventType": "u"}
    assert await sent(service, "PUT", path, changes) == {"affectedRecords": 1}
    [changed] = (await sent(service, "GET", f"{DISPATCHERS}?eq(tags,x)&eq(eventType,u)"))["data"]
    assert changed == {**made, **changes, "actions": made["actions"], "updateTimestamp": changed["updateTimestamp"]}
    await sent(service, "PUT", path, {"name": None, "tags": None})
    action = f"{path}/actions/{made['actions'][0]['id']}"
    assert await sent(service, "PUT", action, {"startTimestamp": None, "type": "task"}) == {"affectedRecords": 1}
    await assert_error(await service.client.put(action, json={"type": "mail"}), 15)
    await assert_error(await service.client.put(f"{path}/actions/{UNKNOWN}", json={}), 16)
    assert await sent(service, "DELETE", action) == {"affectedRecords": 1}
    await assert_error(await service.client.delete(action), 16)
    [changed] = (await sent(service, "GET", DISPATCHERS))["data"]
    assert ("name" in changed, "tags" in changed, len(changed["actions"])) == (False, False, 1)
    assert await sent(service, "DELETE", path) == {"affectedRecords": 1}
    await assert_error(await service.client.delete(path), 16)


async def test_who_tells_of_an_event_has_created_its_tasks_and_who_changed_a_dispatcher_is_on_record(
    tmp_path: Path,
) -> None:
    maker, teller = holder(7001, "CREATE_DISPATCHERS"), holder(7002, "CREATE_EVENTS")
    viewer = holder(7003, "VIEW_TASKS", "VIEW_AUDIT")
    async with secured_service(tmp_path, with_holders(EVERYBODY, maker, teller, viewer)) as secured:
        client = secured.service.client

        async def called(method: str, path: str, token: str, body: Any = None) -> Any:
            headers = {"Authorization": f"Bearer {token}"}
            async with client.request(method, path, json=body, headers=headers) as response:
                assert response.status == 200, await response.text()
                return await response.json()

        made = await called("POST", DISPATCHERS, maker.token, {"eventType": "t", "actions": [RUN]})
        await called("POST", EVENTS, teller.token, {"type": "t"})
        [task] = (await called("GET", "/tasks/v1", viewer.token))["data"]
        assert task["createdByUserId"] == teller.user.id
        [entry] = (await called("GET", "/taskd/v1/audit?action=dispatchers.create", viewer.token))["data"]
        assert (entry["userId"], entry["subjectId"]) == (maker.user.id, made["id"])
