"""What calls of API functions leave behind, over HTTP."""

import asyncio
from pathlib import Path

from support.functions.local_runtime import appears
from support.http.error_shape import assert_error
from support.http.service import BASE, Service, http_service
from support.http.synchronous_calls import (
    APPLICATION,
    USER,
    assert_refused,
    call_api,
    deploy,
    deploy_gate,
    execute,
    from_test_header,
)

from taskd.model.clock import system_clock_ms
from taskd.model.timestamps import format_ms, parse_rfc3339
from taskd.store.embedded.settings import StoreSettings

SOURCE = """
def handler(event, context):
    print("called with", event["rawQueryString"])
    print("end")
    if event["rawPath"] == "/raise":
        raise ValueError("on purpose")
    return {"statusCode": 201 if event["rawPath"] == "/made" else 200} if event["rawPath"] != "/wrong" else 5
"""
SILENT = "def handler(event, context): return {'statusCode': 200}"


async def test_a_call_leaves_a_record(service: Service) -> None:
    await deploy(service, SOURCE)
    await call_api(service, "probe/made?a=1&b=%20", "POST")
    page = await service.get("/apiRequests")
    [record] = page["data"]
    assert page["page"] == {"total": 1, "offset": 0, "limit": 20}
    assert parse_rfc3339(record.pop("timestamp"))
    assert 0 <= record.pop("duration") < 30
    assert len(record.pop("id")) == 24
    assert record == {"functionName": "probe", "method": "POST", "path": "made?a=1&b=%20", "statusCode": 201}


async def test_what_went_wrong_is_recorded_by_kind(service: Service) -> None:
    await deploy(service, SOURCE)
    await deploy(service, SOURCE, "off", enabled=False)
    for path in ("probe/raise", "probe/wrong", "off/x"):
        await call_api(service, path)
    records = (await service.get("/apiRequests"))["data"]
    errors = [(record["statusCode"], record["error"]["type"], record["error"]["name"]) for record in records]
    assert errors == [
        (400, "runtime", "ValueError"),
        (400, "response", "INVALID_API_FUNCTION_RESULT"),
        (400, "invocation", "FUNCTION_DISABLED_EXCEPTION"),
    ]
    assert records[0]["error"]["message"] == "on purpose"


async def test_a_function_that_is_unknown_or_not_the_callers_leaves_no_record(tmp_path: Path) -> None:
    async with http_service(tmp_path, authenticate=from_test_header) as service:
        await deploy(service, SOURCE)
        shown = {"Test-Permissions": "VIEW_API_FUNCTION_REQUESTS,EXECUTE_API_FUNCTION:nobody"}
        for path in ("probe", "nobody"):
            await call_api(service, path, headers=shown)
        async with service.client.get(f"{BASE}/apiRequests", headers=shown) as response:
            assert (await response.json())["data"] == []


async def test_the_caller_is_recorded(tmp_path: Path) -> None:
    async with http_service(tmp_path, authenticate=from_test_header) as service:
        await deploy(service, SOURCE)
        shown = {"Test-Permissions": "VIEW_API_FUNCTION_REQUESTS,EXECUTE_API_FUNCTION"}
        await call_api(service, "probe", headers=shown)
        async with service.client.get(f"{BASE}/apiRequests", headers=shown) as response:
            [record] = (await response.json())["data"]
        assert (record["userId"], record["applicationId"]) == (USER, APPLICATION)
        assert (await service.client.get(f"{BASE}/apiRequests")).status == 401
        await assert_error(await service.client.get(f"{BASE}/apiRequests/{record['id']}/logs", headers=shown), 10)


async def test_records_are_found_by_query(service: Service) -> None:
    await deploy(service, SOURCE)
    for path in ("probe/1", "probe/2?x", "probe/made", "probe/raise"):
        await call_api(service, path)
    found = {
        "?statusCode>=201": 2,
        "?eq(statusCode,201)": 1,
        "?functionName=probe&method=GET": 4,
        "?like(path,x)": 1,
        "?error.type=runtime": 1,
        "?excludes(error)": 3,
        "?duration<30": 4,
        "?duration<0": 0,
        "?timestamp>2999-01-01T00:00:00.000Z": 0,
        "?contains(userId)": 0,
        "?eq(nothing,1)": 0,
    }
    for query, total in found.items():
        assert (await service.get(f"/apiRequests{query}"))["page"]["total"] == total, query
    newest = await service.get("/apiRequests?sort(-timestamp,-id)&limit(1)&select(path)")
    assert [record["path"] for record in newest["data"]] == ["raise"]
    assert newest["data"][0].keys() == {"id", "path"}
    oldest_first = [record["path"] for record in (await service.get("/apiRequests"))["data"]]
    assert oldest_first == ["1", "2?x", "made", "raise"]
    await assert_error(await service.client.get(f"{BASE}/apiRequests?timestamp>soon"), 19)


async def test_log_lines_are_read_like_those_of_a_task(service: Service) -> None:
    await deploy(service, SOURCE)
    await call_api(service, "probe/raise?a")
    [record] = (await service.get("/apiRequests"))["data"]
    logs = await service.get(f"/apiRequests/{record['id']}/logs")
    assert logs["page"] == {"offset": 0, "limit": 20}
    assert [line["message"] for line in logs["data"]][:2] == ["called with ?a", "end"]
    since = logs["data"][0]["timestamp"]
    assert (await service.get(f"/apiRequests/{record['id']}/logs?timestamp>={since}&limit(1,1)"))["data"][0][
        "message"
    ] == "end"
    late = await service.get(f"/apiRequests/{record['id']}/logs?ge(timestamp,2999-01-01T00:00:00.000Z)")
    assert late["data"] == []


async def test_log_lines_are_among_those_of_the_function(service: Service) -> None:
    await deploy(service, SOURCE)
    await call_api(service, "probe/1?a")
    await execute(service)
    now = format_ms(system_clock_ms())
    window = f"?eventTimestamp>={now[:10]}T00:00:00.000Z&eventTimestamp<={now}"
    lines = [line["message"] for line in (await service.get(f"/functions/probe/logs{window}"))["data"]]
    assert lines[:2] == ["called with ?a", "end"]
    assert len(lines) > 2


async def test_a_client_that_goes_away_leaves_a_record(service: Service, tmp_path: Path) -> None:
    await deploy_gate(service, tmp_path)
    impatient = asyncio.create_task(call_api(service, "gate"))
    await appears(tmp_path / "started")
    impatient.cancel()
    await asyncio.wait([impatient])
    (tmp_path / "gate").touch()
    async with asyncio.timeout(10):
        while not (records := (await service.get("/apiRequests"))["data"]):
            await asyncio.sleep(0.01)
    assert records[0]["statusCode"] == 200


async def test_logs_that_are_not_there_are_told_so(service: Service) -> None:
    await deploy(service, SILENT)
    await call_api(service, "probe")
    [record] = (await service.get("/apiRequests"))["data"]
    path = f"{BASE}/apiRequests/{record['id']}/logs"
    await assert_error(await service.client.get(path), 1413)
    await assert_error(await service.client.get(f"{path}?message=x"), 19)
    await assert_refused(await service.client.get(f"{BASE}/apiRequests/{'0' * 24}/logs"), 16, "API request")
    await assert_error(await service.client.get(f"{BASE}/apiRequests/nonsense/logs"), 12)


async def test_bytes_that_are_no_text_do_no_harm(service: Service) -> None:
    await deploy(service, SILENT)
    connection = await service.client.request("GET", f"{BASE}/api/probe/%FF?%FF=%00")
    assert connection.status == 200
    [record] = (await service.get("/apiRequests"))["data"]
    assert record["path"] == "%FF?%FF=%00"


async def test_the_oldest_records_give_way_with_their_log_lines(tmp_path: Path) -> None:
    settings = StoreSettings(data=str(tmp_path / "data"), api_requests_kept=2)
    async with http_service(tmp_path, store_settings=settings) as service:
        await deploy(service, SOURCE)
        await call_api(service, "probe/0")
        [first] = (await service.get("/apiRequests"))["data"]
        for number in (1, 2):
            await call_api(service, f"probe/{number}")
        assert [record["path"] for record in (await service.get("/apiRequests"))["data"]] == ["1", "2"]
        await assert_error(await service.client.get(f"{BASE}/apiRequests/{first['id']}/logs"), 16)
        assert await service.store.find_logs(first["id"], 0, 0, 10) == []
