"""What a schedule may be told, changed to and asked for, over HTTP."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace
from support.http.error_shape import assert_error
from support.http.service import BASE, Service

from taskd.model.timestamps import parse_rfc3339

SCHEDULES = f"{BASE}/schedules"
FAR = "2999-01-01T00:00:00.000Z"
FARTHER = "2999-06-01T00:00:00.000Z"
CRON = {"functionName": "hello", "cron": "0 7 * * 1-5", "timeZone": "Europe/Brussels"}
HOURLY = {"functionName": "hello", "interval": 3600, "startTimestamp": "2026-01-01T00:00:00.000Z"}


async def call(service: Service, method: str, path: str, body: object = None, **headers: str) -> Any:
    async with service.client.request(method, SCHEDULES + path, json=body, headers=headers) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def create(service: Service, **fields: Any) -> dict[str, Any]:
    given = {} if "cron" in fields else {"interval": 3600}
    return dict(await call(service, "POST", "", {"functionName": "hello", **given, **fields}))


async def test_a_cron_schedule_is_answered_whole(service: Service) -> None:
    rules = {
        "overlap": "bufferOne",
        "catchUpSeconds": 90,
        "jitterSeconds": 2.5,
        "remaining": 3,
        "note": "Reports",
        "endTimestamp": "2999-06-01T00:00:00.000Z",
        "tags": ["a", "b"],
        "cron": "@daily",
        "timeZone": "Asia/Tokyo",
    }
    schedule = await create(service, **rules, startTimestamp=FAR)
    assert {name: schedule[name] for name in rules} == rules
    assert "interval" not in schedule
    next_ms = parse_rfc3339(schedule["nextTimestamp"]) or 0
    assert 0 <= next_ms - (parse_rfc3339("2999-01-01T15:00:00.000Z") or 0) < 2_500
    assert await call(service, "GET", f"/{schedule['id']}") == schedule


async def test_a_schedule_that_asks_for_none_of_the_rules_shows_none(service: Service) -> None:
    schedule = await create(service, startTimestamp=FAR)
    assert set(schedule) == {
        *("id", "interval", "functionName", "data", "priority"),
        *("startTimestamp", "nextTimestamp", "creationTimestamp", "updateTimestamp"),
    }


@pytest.mark.parametrize(
    ("fields", "code", "part"),
    [
        ({"cron": "61 * * * *"}, 15, "cron"),
        ({"cron": "* * * * * *"}, 15, "five fields"),
        ({"cron": "0 0 30 2 *"}, 15, "cron"),
        ({"cron": 5}, 15, "cron"),
        ({"cron": "x" * 100_000}, 15, "cron"),
        ({"cron": "@daily", "interval": 60}, 15, "interval"),
        ({"cron": "@daily", "timeZone": "Mars/Olympus"}, 15, "Europe/Brussels"),
        ({"cron": "@daily", "timeZone": "../../etc/passwd"}, 15, "timeZone"),
        ({"interval": 60, "timeZone": "UTC"}, 15, "timeZone"),
        ({"interval": 60, "overlap": "never"}, 15, "bufferOne"),
        ({"interval": 60, "catchUpSeconds": -1}, 15, "catchUpSeconds"),
        ({"interval": 60, "catchUpSeconds": 2_592_001}, 15, "catchUpSeconds"),
        ({"interval": 60, "jitterSeconds": 86_401}, 15, "jitterSeconds"),
        ({"interval": 60, "remaining": 0}, 15, "remaining"),
        ({"interval": 60, "remaining": 1.5}, 15, "remaining"),
        ({"interval": 60, "endTimestamp": "soon"}, 15, "endTimestamp"),
        ({"interval": 60, "endTimestamp": "2001-01-01T00:00:00.000Z"}, 15, "endTimestamp"),
        ({"cron": "@daily", "startTimestamp": "9999-12-31T12:00:00.000Z"}, 15, "cron"),
        ({"interval": 60, "paused": "yes"}, 15, "paused"),
        ({"interval": 60, "note": "x" * 1001}, 15, "note"),
        ({"interval": 60, "tags": "x"}, 15, "tags"),
        ({"interval": 60, "unique": {"key": ""}}, 15, "unique"),
        ({}, 14, "interval or cron"),
    ],
)
async def test_rules_that_make_no_sense_are_refused_by_name(
    service: Service, fields: dict[str, Any], code: int, part: str
) -> None:
    for path in ("", "/next"):
        async with service.client.post(SCHEDULES + path, json={"functionName": "hello", **fields}) as response:
            assert part in (await assert_error(response, code))["message"]
    schedule = await create(service, startTimestamp=FAR)
    if fields:
        async with service.client.put(f"{SCHEDULES}/{schedule['id']}", json=fields) as response:
            assert part in (await assert_error(response, code))["message"]
    assert (await call(service, "GET", ""))["data"] == [schedule]


async def test_any_part_of_a_schedule_is_changed_and_the_rest_stays(service: Service) -> None:
    schedule = await create(service, startTimestamp=FAR, data={"a": 1}, priority=4, note="n", tags=["t"])
    path = f"/{schedule['id']}"
    changes: dict[str, Any]
    for changes in (
        {"data": {"b": 2}},
        {"priority": -1},
        {"functionName": "other"},
        {"tags": ["u"]},
        {"overlap": "skip"},
        {"remaining": 7},
        {"catchUpSeconds": 0},
        {"note": "Else"},
    ):
        before = await call(service, "GET", path)
        after = await call(service, "PUT", path, changes)
        unchanged = set(before) - set(changes) - {"updateTimestamp"}
        assert {name: after.get(name) for name in unchanged} == {name: before[name] for name in unchanged}
        assert {name: after[name] for name in changes} == changes
        assert await call(service, "GET", path) == after


async def test_null_takes_away_what_may_be_left_out(service: Service) -> None:
    rules = {
        "catchUpSeconds": 5,
        "jitterSeconds": 5,
        "remaining": 2,
        "note": "n",
        "endTimestamp": "2999-06-01T00:00:00Z",
    }
    schedule = await create(service, startTimestamp=FAR, cron="@hourly", timeZone="Europe/Brussels", **rules)
    cleared = await call(service, "PUT", f"/{schedule['id']}", dict.fromkeys([*rules, "timeZone"]))
    assert not set(cleared) & {*rules, "timeZone"}
    assert cleared["cron"] == "@hourly"


async def test_an_interval_takes_the_place_of_a_cron_expression_and_the_other_way(service: Service) -> None:
    schedule = await create(service, startTimestamp=FAR)
    path = f"/{schedule['id']}"
    changed = await call(service, "PUT", path, {"cron": "30 6 * * *", "timeZone": "Europe/Brussels"})
    assert ("interval" in changed, changed["nextTimestamp"]) == (False, "2999-01-01T05:30:00.000Z")
    changed = await call(service, "PUT", path, {"interval": 60})
    assert (changed["interval"], changed["nextTimestamp"]) == (60, FAR)
    assert not {"cron", "timeZone"} & set(changed)


async def test_changed_times_go_on_later_than_what_was_made(service: Service) -> None:
    schedule = await create(service)
    await service.store.fire(10)
    made = await service.store.schedule(schedule["id"])
    changed = await call(service, "PUT", f"/{schedule['id']}", {"interval": 0.5})
    assert (parse_rfc3339(changed["nextTimestamp"]) or 0) > made.update_ms
    untouched = await call(service, "PUT", f"/{schedule['id']}", {"note": "n"})
    assert untouched["nextTimestamp"] == changed["nextTimestamp"]


async def test_a_schedule_is_paused_and_resumed_by_a_change(service: Service) -> None:
    schedule = await create(service, startTimestamp=FAR, paused=True)
    assert "nextTimestamp" not in schedule
    resumed = await call(service, "PUT", f"/{schedule['id']}", {"paused": False})
    assert ("paused" in resumed, resumed["nextTimestamp"]) == (False, FAR)
    assert (await call(service, "PUT", f"/{schedule['id']}", {"paused": True}))["paused"] is True


async def test_coming_times_are_told_of_a_schedule_and_of_one_that_is_not_kept(service: Service) -> None:
    body = {**CRON, "startTimestamp": "2999-03-01T00:00:00.000Z"}
    schedule = await call(service, "POST", "", body)
    expected = ["2999-03-01T06:00:00.000Z", "2999-03-04T06:00:00.000Z"]
    assert (await call(service, "GET", f"/{schedule['id']}/next?count=2"))["data"] == expected
    assert (await call(service, "POST", "/next?count=2", body))["data"] == expected
    assert len((await call(service, "GET", f"/{schedule['id']}/next"))["data"]) == 10
    assert len((await call(service, "POST", "/next", {**body, "remaining": 3}))["data"]) == 3
    assert (await call(service, "GET", ""))["page"]["total"] == 1
    await call(service, "POST", f"/{schedule['id']}/pause")
    assert (await call(service, "GET", f"/{schedule['id']}/next"))["data"] == []


@pytest.mark.parametrize("count", ["0", "101", "-1", "ten", "", "1.5", "9" * 5000, "%D9%A3"])
async def test_a_count_that_is_none_is_refused(service: Service, count: str) -> None:
    schedule = await create(service, startTimestamp=FAR)
    for request in (
        service.client.get(f"{SCHEDULES}/{schedule['id']}/next?count={count}"),
        service.client.post(f"{SCHEDULES}/next?count={count}", json=CRON),
    ):
        async with request as response:
            assert "count" in (await assert_error(response, 15))["message"]


async def test_a_schedule_is_triggered_out_of_turn(service: Service) -> None:
    schedule = await create(service, startTimestamp=FAR, data={"a": 1}, tags=["t"], priority=3, paused=True)
    path = f"/{schedule['id']}/trigger"
    task = await call(service, "POST", path)
    assert (task["scheduleId"], task["data"], task["tags"], task["priority"]) == (schedule["id"], {"a": 1}, ["t"], 3)
    assert task["status"] == "new"
    again = [await call(service, "POST", path, **{"Idempotency-Key": "k"}) for _ in range(2)]
    assert again[0]["id"] == again[1]["id"] != task["id"]
    assert await call(service, "GET", f"/{schedule['id']}") == schedule


async def test_passed_times_are_made_up_for(service: Service) -> None:
    schedule = await call(service, "POST", "", {**HOURLY, "paused": True, "data": {"a": 1}})
    span = {"from": "2025-12-31T22:00:00.000Z", "to": "2026-01-01T03:59:00+01:00"}
    made = await call(service, "POST", f"/{schedule['id']}/backfill", span)
    tasks = (await service.get(f"?scheduleId={schedule['id']}&sort(startTimestamp)"))["data"]
    assert made == {"affectedRecords": len(tasks)}
    assert [task["startTimestamp"][5:16] for task in tasks] == [
        *("12-31T22:00", "12-31T23:00", "01-01T00:00", "01-01T01:00", "01-01T02:00"),
    ]
    nothing = {"from": "2026-01-01T00:10:00.000Z", "to": "2026-01-01T00:50:00.000Z"}
    assert await call(service, "POST", f"/{schedule['id']}/backfill", nothing) == {"affectedRecords": 0}
    for _ in range(2):
        await call(service, "POST", f"/{schedule['id']}/backfill", span, **{"Idempotency-Key": "k"})
    assert (await service.get(f"?scheduleId={schedule['id']}"))["page"]["total"] == 10
    assert await call(service, "GET", f"/{schedule['id']}") == schedule


@pytest.mark.parametrize(
    ("span", "code", "part"),
    [
        ({}, 14, "from, to"),
        ({"from": "2026-01-01T00:00:00.000Z"}, 14, "to"),
        ({"from": "x", "to": 5}, 15, "from"),
        ({"from": 5, "to": FAR}, 15, "to must be no later than now"),
        ({"from": 10, "to": 5}, 15, "from must be no later than to"),
        ({"from": "0001-01-01T00:00:00.000Z", "to": "2026-01-01T00:00:00.000Z"}, 26, "10000"),
        ([], 22, "object"),
    ],
)
async def test_a_span_that_cannot_be_made_up_for_is_refused(
    service: Service, span: object, code: int, part: str
) -> None:
    for body in (HOURLY, {**CRON, "cron": "* * * * *"}):
        schedule = await call(service, "POST", "", {**body, "paused": True})
        async with service.client.post(f"{SCHEDULES}/{schedule['id']}/backfill", json=span) as response:
            assert part in (await assert_error(response, code))["message"]
    assert (await service.get(""))["page"]["total"] == 0


async def test_a_backfill_of_much_data_is_bounded_in_bytes(service: Service) -> None:
    schedule = await call(service, "POST", "", {**HOURLY, "paused": True, "data": {"a": "x" * 60_000}})
    span = {"from": "2026-01-01T00:00:00.000Z", "to": "2026-02-01T00:00:00.000Z"}
    async with service.client.post(f"{SCHEDULES}/{schedule['id']}/backfill", json=span) as response:
        assert "More than 559 times" in (await assert_error(response, 26))["message"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("PUT", "", {"note": "n"}),
        ("GET", "/next", None),
        ("POST", "/trigger", None),
        ("POST", "/backfill", {"from": 1, "to": 2}),
    ],
)
async def test_what_is_not_there_is_not_found(service: Service, method: str, path: str, body: object) -> None:
    for schedule_id, code in (("0" * 24, 16), ("nonsense", 12)):
        url = f"{SCHEDULES}/{schedule_id}{path}"
        async with service.client.request(method, url, json=body) as response:
            await assert_error(response, code)


async def test_a_schedule_whose_zone_is_gone_is_looked_at_and_mended(service: Service) -> None:
    schedule = await call(service, "POST", "", {**CRON, "paused": True})
    await service.store.change_schedule(schedule["id"], lambda kept: replace(kept, time_zone="Mars/Olympus", next_ms=1))
    path = f"{SCHEDULES}/{schedule['id']}"
    for request in (
        service.client.post(f"{path}/resume"),
        service.client.post(f"{path}/backfill", json={"from": 1, "to": 2}),
    ):
        async with request as response:
            assert "Mars/Olympus" in (await assert_error(response, 27))["message"]
    mended = await call(service, "PUT", f"/{schedule['id']}", {"timeZone": "Europe/Brussels", "paused": False})
    assert "nextTimestamp" in mended


async def test_the_service_answers_others_while_long_lists_of_times_are_made(service: Service) -> None:
    rare = {**CRON, "cron": "0 0 * 2 MON#5", "startTimestamp": "2030-01-01T00:00:00.000Z"}
    asked = asyncio.create_task(call(service, "POST", "/next?count=100", rare))
    async with asyncio.timeout(10):
        await service.get("")
        assert len((await asked)["data"]) == 100
