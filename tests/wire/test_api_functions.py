"""API functions over HTTP: requests in, the function's own answers out."""

import asyncio
import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse
from support.functions.local_runtime import appears
from support.http.error_shape import assert_error
from support.http.raw import send_raw
from support.http.service import BASE, Service, http_service
from support.http.synchronous_calls import APPLICATION, USER, assert_refused, call_api, deploy, deploy_gate
from yarl import URL

from taskd.execution.settings import DispatchSettings
from taskd.model.limits import LAMBDA_PAYLOAD_MAX_BYTES, MIB

ECHO = """
def handler(event, context):
    return {"statusCode": 200, "body": event}
"""
ANSWER = """
import json

def handler(event, context):
    return json.loads(event["body"])
"""


async def event_of(service: Service, path: str, method: str = "GET", **options: Any) -> dict[str, Any]:
    """The event that the function gets for a request."""
    response = await call_api(service, path, method, **options)
    assert response.status == 200, await response.text()
    return dict(await response.json())


async def raw_request(service: Service, request: bytes) -> tuple[bytes, bytes]:
    """Head and body of the answer to what a client of its own kind sends."""
    head, _, body = (await send_raw(service.url, request)).partition(b"\r\n\r\n")
    return head, body


async def test_what_a_client_claims_to_be_is_not_where_the_request_comes_from(service: Service) -> None:
    await deploy(service, ECHO)
    head = f"GET {BASE}/api/probe HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    claimed, added = "X-Forwarded-For: 10.9.9.9\r\n", "X-Forwarded-For: 10.9.9.8, 192.0.2.1\r\n"
    _, body = await raw_request(service, f"{head}{claimed}{added}\r\n".encode())
    assert json.loads(body)["requestContext"]["http"]["sourceIp"] == "192.0.2.1"


async def test_the_function_gets_the_request_as_an_event(service: Service) -> None:
    await deploy(service, ECHO)
    headers = {"User-Agent": "test/1", "X-Mine": "yes", "Accept-Encoding": "identity", "Accept": "text/*"}
    event = await event_of(service, "probe/a/b?x=1&y=%202&x=3", "POST", data=b"text", headers=headers)
    context = event.pop("requestContext")
    event["headers"].pop("host")
    assert event == {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/a/b",
        "rawQueryString": "?x=1&y=%202&x=3",
        "queryStringParameters": {"x": "1,3", "y": " 2"},
        "headers": {
            "user-agent": "test/1",
            "x-mine": "yes",
            "accept": "text/*",
            "accept-encoding": "identity",
            "content-type": "application/octet-stream",
            "content-length": "4",
        },
        "body": "text",
        "isBase64Encoded": False,
    }
    assert context.pop("timeEpoch") > 1_700_000_000_000
    [record] = (await service.get("/apiRequests"))["data"]
    assert context == {
        "http": {
            "method": "POST",
            "path": "/a/b",
            "protocol": "HTTP/1.1",
            "sourceIp": "127.0.0.1",
            "userAgent": "test/1",
        },
        "requestId": record["id"],
        "routeKey": "$default",
        "stage": "$default",
    }


PATHS = [
    ("probe", "/"),
    ("probe/", "/"),
    ("probe/a/", "/a/"),
    ("probe//a//b", "//a//b"),
    ("probe/a%2Fb%20c/%c3%a9%0A", "/a%2Fb%20c/%c3%a9%0A"),
    ("probe/api/probe", "/api/probe"),
    ("%70robe/%70", "/%70"),
    ("logs", "/"),
    ("cancel/x", "/x"),
]


@pytest.mark.parametrize(("path", "seen"), PATHS)
async def test_the_path_arrives_as_it_was_sent(service: Service, path: str, seen: str) -> None:
    name = path.partition("/")[0].replace("%70", "p")
    await deploy(service, ECHO, name)
    url = URL(f"{service.url}{BASE}/api/{path}", encoded=True)
    for method in ("GET", "POST"):
        async with service.client.request(method, url) as response:
            assert (await response.json())["rawPath"] == seen


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_every_method_reaches_the_function(service: Service, method: str) -> None:
    await deploy(service, ECHO)
    assert (await event_of(service, "probe/x", method))["requestContext"]["http"]["method"] == method


async def test_head_answers_without_the_body_but_with_its_length(service: Service) -> None:
    await deploy(service, "def handler(event, context): return {'statusCode': 203, 'body': event['requestContext']}")
    response = await call_api(service, "probe/x", "HEAD")
    assert (response.status, await response.read()) == (203, b"")
    assert int(response.headers["Content-Length"]) > 10
    [record] = (await service.get("/apiRequests"))["data"]
    assert (record["method"], record["statusCode"]) == ("HEAD", 203)


async def test_a_method_of_another_kind_is_no_endpoint(service: Service) -> None:
    await deploy(service, ECHO)
    await assert_error(await call_api(service, "probe/x", "PROPFIND"), 5)


async def test_what_is_not_text_is_passed_as_base64(service: Service) -> None:
    await deploy(service, ECHO)
    octets = bytes(range(256))
    event = await event_of(service, "probe", "POST", data=octets)
    assert (event["isBase64Encoded"], base64.b64decode(event["body"])) == (True, octets)
    event = await event_of(service, "probe", "POST", data="é\0".encode())
    assert (event["isBase64Encoded"], event["body"]) == (False, "é\0")
    event = await event_of(service, "probe")
    assert (event["isBase64Encoded"], event["body"]) == (False, "")


async def test_a_packed_body_is_the_functions_to_unpack(service: Service) -> None:
    await deploy(service, ECHO)
    event = await event_of(service, "probe", "POST", data=b"\x1f\x8bpacked", headers={"Content-Encoding": "gzip"})
    assert base64.b64decode(event["body"]) == b"\x1f\x8bpacked"
    assert event["headers"]["content-encoding"] == "gzip"


async def test_headers_are_joined_and_what_speaks_of_the_connection_is_dropped(service: Service) -> None:
    await deploy(service, ECHO)
    head = (
        f"POST {BASE}/api/probe/x HTTP/1.1\r\nHost: localhost\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\n"
        "TE: trailers\r\n"
        "Accept: text/html\r\nAccept: text/plain\r\nCookie: a=1; b=2\r\nCookie: c=3\r\nTransfer-Encoding: chunked\r\n"
        "Authorization: Bearer secret\r\nProxy-Authorization: Basic secret\r\nX-Latin: \xe9\r\n\r\n"
        "3\r\nabc\r\n0\r\n\r\n"
    )
    event = json.loads((await raw_request(service, head.encode("latin-1")))[1])
    assert event["headers"] == {
        "host": "localhost",
        "accept": "text/html,text/plain",
        "cookie": "a=1; b=2; c=3",
        "x-latin": "é",
        "content-length": "3",
    }
    assert event["cookies"] == ["a=1", "b=2", "c=3"]
    assert event["body"] == "abc"


FORGED = [
    "x-exh-requesting-user-id",
    "X-EXH-Requesting-Application-Id",
    "x_exh_requesting_user_id",
    "X-Exh-requesting-x",
]


async def test_nobody_can_pretend_to_be_somebody_else(header_auth_service: Service) -> None:
    await deploy(header_auth_service, ECHO, executionOptions={"permissionMode": "public"})
    forged = dict.fromkeys(FORGED, "somebody")
    event = await event_of(header_auth_service, "probe", headers=forged)
    assert "somebody" not in event["headers"].values()
    event = await event_of(header_auth_service, "probe", headers={**forged, "Test-Permissions": "none"})
    identity = {name: value for name, value in event["headers"].items() if name.startswith("x-exh")}
    assert identity == {"x-exh-requesting-user-id": USER, "x-exh-requesting-application-id": APPLICATION}
    assert "somebody" not in event["headers"].values()


ANSWERS: list[tuple[dict[str, Any], int, dict[str, str], bytes]] = [
    # what the function returns; status, headers and body of the answer
    ({"statusCode": 200}, 200, {"Content-Type": "application/json"}, b""),
    ({"statusCode": 201, "body": "as it is"}, 201, {"Content-Type": "application/json"}, b"as it is"),
    ({"statusCode": 499.0, "body": {"a": [1.5, None]}}, 499, {}, b'{"a": [1.5, null]}'),
    ({"statusCode": 200, "body": None}, 200, {}, b"null"),
    ({"statusCode": 200, "body": 0}, 200, {}, b"0"),
    ({"statusCode": 404, "headers": {"content-type": "text/plain"}, "body": "é"}, 404, {}, "é".encode()),
    ({"statusCode": 200, "body": "AP8=", "isBase64Encoded": True}, 200, {}, b"\x00\xff"),
    ({"statusCode": 200, "headers": None, "isBase64Encoded": None, "cookies": []}, 200, {}, b""),
    (
        {"statusCode": 200, "headers": {"Connection": "close", "Content-Length": "9", "Transfer-Encoding": "chunked"}},
        200,
        {"Content-Length": "0"},
        b"",
    ),
    (
        {"statusCode": 302, "headers": {"Location": "/there", "X_y-1": "z"}},
        302,
        {"Location": "/there", "X_y-1": "z"},
        b"",
    ),
    ({"statusCode": 200, "unknown": 1}, 200, {}, b""),
]


async def test_the_answer_is_what_the_function_returned(service: Service) -> None:
    await deploy(service, ANSWER)
    for result, status, headers, body in ANSWERS:
        response = await call_api(service, "probe", "POST", json=result, allow_redirects=False)
        assert (response.status, await response.read()) == (status, body), result
        assert headers.items() <= response.headers.items(), result
        assert "Connection" not in response.headers


async def test_cookies_are_set_one_by_one(service: Service) -> None:
    await deploy(service, ANSWER)
    response = await call_api(service, "probe", "POST", json={"statusCode": 200, "cookies": ["a=1; Path=/", "b=2"]})
    assert response.headers.getall("Set-Cookie") == ["a=1; Path=/", "b=2"]


async def test_an_answer_without_content_has_none(service: Service) -> None:
    await deploy(service, ANSWER)
    head, body = await raw_request(
        service,
        f"POST {BASE}/api/probe HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 33\r\n\r\n"
        '{"statusCode": 204, "body": "no"}'.encode(),
    )
    assert head.startswith(b"HTTP/1.1 204 ")
    assert body == b""


HOSTILE_HEADERS: list[dict[str, str]] = [
    *({"X": f"a{end}Injected: 1"} for end in ("\r\n", "\n", "\r", "\0", "\x0b", "\x85", "\u2028", "\u010d\u010a")),
    *(
        {name: "x"}
        for name in ("X\r\nInjected", "X:", "", "X Y", "Injected: 1\r\nX", "HTTP/1.1 200 OK", "content-length ")
    ),
    *({"Content-Length": length} for length in ("0", "99999", "-1")),
    *({"Transfer-Encoding": encoding} for encoding in ("chunked", "identity", "gzip, chunked")),
    *({"Connection": "Upgrade", "Upgrade": protocol} for protocol in ("websocket", "h2c")),
    *({"Trailer": "X"}, {"Keep-Alive": "timeout=0"}, {"Content-Encoding": "chunked"}, {"Expect": "100-continue"}),
]
HOSTILE_RESULTS: list[Any] = [
    *({"statusCode": 200, "headers": headers, "body": "x"} for headers in HOSTILE_HEADERS),
    *({"statusCode": status, "body": "x"} for status in (100, 101, 199, 204, 205, 206, 304, 499, 500, 999, -1, 10**30)),
    *({"statusCode": 200, "cookies": [f"a=1{end}Injected: 1"]} for end in ("\r\n", "\n", "\r", "\0")),
]


@pytest.mark.parametrize("method", ["POST", "HEAD"])
async def test_no_result_is_taken_for_another_answer_or_spoils_the_next_one(service: Service, method: str) -> None:
    await deploy(service, ANSWER)
    following = "GET /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    for result in HOSTILE_RESULTS:
        body = json.dumps(result)
        head = f"{method} {BASE}/api/probe HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        answers = await send_raw(service.url, (head + body + following).encode())
        assert answers.count(b"HTTP/1.1 ") == 2, result
        assert b"\r\nInjected" not in answers, result
        assert b"\nInjected" not in answers, result
        assert answers.endswith(b'"There is no GET /nowhere."}'), result


async def test_a_result_that_is_no_answer_is_told_with_the_broken_rule(service: Service) -> None:
    await deploy(service, ANSWER)
    await assert_refused(await call_api(service, "probe", "POST", json={"body": 1}), 1409, "statusCode")
    await assert_refused(await call_api(service, "probe", "POST", json=[1]), 1409, "JSON object")
    assert [row["error"]["type"] for row in (await service.get("/apiRequests"))["data"]] == ["response"] * 2


async def test_a_failure_is_told_by_name(service: Service) -> None:
    await deploy(service, "def handler(event, context): raise KeyError('x')")
    body = await assert_refused(await call_api(service, "probe"), 1406, "KeyError")
    assert body["runtimeError"] == {"name": "KeyError", "message": "'x'"}
    assert "taskId" not in body


async def test_calls_that_cannot_be_made_are_told_why(service: Service) -> None:
    await deploy(service, ECHO, "disabled", enabled=False)
    await deploy(service, ECHO, "long", timeLimit=31)
    await deploy(service, ECHO, "gone")
    await service.runtime.remove("gone")
    await assert_refused(await call_api(service, "disabled/x"), 1410, "enable it")
    await assert_refused(await call_api(service, "long/x"), 1411, "31 s", "30 s")
    await assert_refused(await call_api(service, "gone/x"), 1405, "ResourceNotFoundException")
    await assert_refused(await call_api(service, "nobody/x"), 16, "nobody")
    assert (await service.get(""))["data"] == [], "no tasks are made"


async def test_one_call_too_many_at_once_is_refused(tmp_path: Path) -> None:
    async with http_service(tmp_path, dispatch=DispatchSettings(max_api_calls=1)) as service:
        await deploy_gate(service, tmp_path)
        first = asyncio.create_task(call_api(service, "gate"))
        await appears(tmp_path / "started")
        await assert_refused(await call_api(service, "gate"), 1412, "dispatch.max_api_calls")
        (tmp_path / "gate").touch()
        assert await (await first).text() == "opened"


async def send(service: Service, body: bytes) -> ClientResponse:
    return await call_api(service, "probe", "POST", data=io.BytesIO(body))


async def test_six_mebibytes_go_both_ways_but_not_more(service: Service) -> None:
    await deploy(service, "def handler(event, context): return {'statusCode': 200, 'body': event['body']}")
    largest = b"x" * (LAMBDA_PAYLOAD_MAX_BYTES - 4096)
    assert await (await send(service, largest)).read() == largest
    await assert_error(await send(service, b"x" * LAMBDA_PAYLOAD_MAX_BYTES), 1414)
    await assert_refused(await send(service, b"\xff" * (5 * MIB)), 1414, "base64")
    await assert_error(await send(service, b"x" * (LAMBDA_PAYLOAD_MAX_BYTES + 1)), 1414)


async def test_an_answer_over_the_limit_is_the_functions_failure(service: Service) -> None:
    await deploy(service, f"def handler(event, context): return {{'statusCode': 200, 'body': 'x' * {7 * MIB}}}")
    await assert_refused(await call_api(service, "probe"), 1406, "ResponseSizeTooLarge")


MODES = [
    ("permissionRequired", None, 104),
    ("permissionRequired", "EXECUTE_TASK_FUNCTION", 10),
    ("permissionRequired", "EXECUTE_API_FUNCTION:probe", 200),
    ("permissionRequired", "EXECUTE_API_FUNCTION", 200),
    ("allUsers", None, 104),
    ("allUsers", "VIEW_TASKS", 200),
    ("public", None, 200),
]


@pytest.mark.parametrize(("mode", "shown", "expected"), MODES)
async def test_the_permission_mode_says_who_may_call(
    header_auth_service: Service, mode: str, shown: str | None, expected: int
) -> None:
    await deploy(header_auth_service, ECHO, executionOptions={"permissionMode": mode})
    response = await call_api(
        header_auth_service, "probe", headers={} if shown is None else {"Test-Permissions": shown}
    )
    assert response.status == expected if expected == 200 else await assert_error(response, expected)


async def test_a_path_of_raw_bytes_is_no_http(service: Service) -> None:
    await deploy(service, ECHO)
    target = BASE.encode() + b"/api/probe/\xff?\xff"
    head, body = await raw_request(
        service, b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    assert (head.split()[1], json.loads(body)["code"]) == (b"400", 26)
    assert (await service.get("/apiRequests"))["data"] == []
