"""Pages of configured origins: what their browsers are told, whatever is answered, and preflights."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientResponse
from support.auth.accounts import EVERYBODY, holder, with_holders
from support.auth.service import secured_service
from support.http.service import BASE, Service, function_body, http_service, zipped

from taskd.api.http.origins import Origins
from taskd.api.settings import ServerSettings

ORIGIN = "https://app.example.com"
BELOW = "https://a.b.example.org"
SETTINGS = ServerSettings(origins=(ORIGIN, "https://*.example.org"))
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,x-user-agent",
}
CORS = ("Access-Control-Allow-Origin", "Access-Control-Allow-Methods", "Access-Control-Allow-Credentials")


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with http_service(tmp_path, SETTINGS) as service:
        yield service


async def send(service: Service, method: str, path: str, origin: str | None = ORIGIN, **headers: str) -> ClientResponse:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    response = await service.client.request(method, path, headers=sent | ({"Origin": origin} if origin else {}))
    await response.read()
    return response


@pytest.mark.parametrize("origin", [ORIGIN, BELOW])
@pytest.mark.parametrize(
    "path", [BASE, f"{BASE}/functions/x/execute", f"{BASE}/api/x/y", "/auth/v2/oauth2/tokens", "/no"]
)
async def test_a_preflight_of_a_configured_origin_is_told_what_the_sdk_may_send(
    service: Service, origin: str, path: str
) -> None:
    response = await send(service, "OPTIONS", path, origin, **PREFLIGHT)
    assert response.status == 204
    assert response.headers["Access-Control-Allow-Origin"] == origin
    assert response.headers["Access-Control-Allow-Headers"] == PREFLIGHT["Access-Control-Request-Headers"]
    assert "DELETE" in response.headers["Access-Control-Allow-Methods"]
    assert response.headers["Vary"] == "Origin"
    assert "Access-Control-Allow-Credentials" not in response.headers


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://example.org", f"{ORIGIN}.evil.example"])
async def test_a_preflight_of_another_origin_is_refused(service: Service, origin: str) -> None:
    response = await send(service, "OPTIONS", BASE, origin, **PREFLIGHT)
    assert (response.status, (await response.json())["code"]) == (401, 10)
    assert not any(name in response.headers for name in CORS)


async def test_without_configured_origins_none_is_told_anything(tmp_path: Path) -> None:
    async with http_service(tmp_path) as service:
        assert (await send(service, "OPTIONS", BASE, **PREFLIGHT)).status == 401
        for origin in (ORIGIN, None):
            response = await send(service, "GET", BASE, origin)
            assert not any(name in response.headers for name in (*CORS, "Vary"))


@pytest.mark.parametrize(
    ("path", "status"),
    [(BASE, 200), (f"{BASE}?eq(", 400), ("/nothing", 404), (f"{BASE}/functions/x", 404), ("/health", 200)],
)
async def test_a_page_may_read_answers_and_errors_alike_and_the_notice_in_them(
    service: Service, path: str, status: int
) -> None:
    response = await send(service, "GET", path)
    assert response.status == status
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "Taskd-Notice" in response.headers["Access-Control-Expose-Headers"]
    assert response.headers["Vary"] == "Origin"
    assert "Access-Control-Allow-Origin" not in (await send(service, "GET", path, None)).headers


async def test_a_page_may_read_that_it_lacks_credentials(tmp_path: Path) -> None:
    viewer = holder(1000, "VIEW_TASKS")
    async with secured_service(tmp_path, with_holders(EVERYBODY, viewer), server=SETTINGS) as secured:
        refused = await send(secured.service, "GET", BASE)
        assert (refused.status, refused.headers["Access-Control-Allow-Origin"]) == (401, ORIGIN)
        page = await send(secured.service, "GET", BASE, Authorization=f"Bearer {viewer.token}")
        assert (page.status, page.headers["Access-Control-Allow-Origin"]) == (200, ORIGIN)
        preflight = await send(secured.service, "OPTIONS", BASE, Host="tasks.example.com", **PREFLIGHT)
        assert preflight.status == 204


async def test_long_answers_may_be_read_as_well(service: Service) -> None:
    """One that is counted while it is sent, and one that is sent piece by piece."""
    for size, limit in ((60_000, 20), (300_000, 20)):
        for _ in range(20):
            await service.create(data={"text": "x" * size})
        response = await send(service, "GET", f"{BASE}?limit({limit})")
        assert response.status == 200
        assert response.headers["Access-Control-Allow-Origin"] == ORIGIN


async def test_a_preflight_never_reaches_an_api_function_and_its_answers_may_be_read(service: Service) -> None:
    code = zipped(
        index="""
def handler(event, context):
    print("called")
    return {"statusCode": 200, "headers": {"Vary": "Accept"}, "body": event["requestContext"]["http"]["method"]}
"""
    )
    body = function_body(name="page", code=code, executionOptions={"permissionMode": "public"})
    assert (await service.client.post(f"{BASE}/functions", json=body)).status == 200
    path = f"{BASE}/api/page/x"
    assert (await send(service, "OPTIONS", path, **PREFLIGHT)).status == 204
    assert (await service.get("/apiRequests"))["page"]["total"] == 0
    response = await send(service, "OPTIONS", path)
    assert (await response.text(), response.headers["Vary"]) == ("OPTIONS", "Accept, Origin")
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert (await service.get("/apiRequests"))["page"]["total"] == 1


@pytest.mark.parametrize("wanted", ["a b", "a;b", "x-ä", ",".join(["x"] * 40)])
async def test_a_preflight_does_not_send_back_what_are_no_names_of_headers(service: Service, wanted: str) -> None:
    headers = PREFLIGHT | {"Access-Control-Request-Headers": wanted}
    response = await send(service, "OPTIONS", BASE, **headers)
    assert response.headers["Access-Control-Allow-Headers"] == "authorization, content-type, x-user-agent"


async def test_a_page_on_the_internet_may_call_a_taskd_on_its_readers_machine_where_its_origin_is_configured(
    service: Service,
) -> None:
    response = await send(service, "OPTIONS", BASE, **PREFLIGHT, Access_Control_Request_Private_Network="true")
    assert response.headers["Access-Control-Allow-Private-Network"] == "true"


@pytest.mark.parametrize(
    ("origin", "is_ours"),
    [
        ("https://a.example.org", True),
        ("https://a.b-c.example.org", True),
        ("https://.example.org", False),
        ("https://example.org", False),
        ("https://evil.example#.example.org", False),
        ("https://evil.example/.example.org", False),
        ("https://a..example.org", False),
        ("http://a.example.org", False),
        ("https://a.example.org:8443", False),
        ("https://a.example.org.evil.example", False),
    ],
)
def test_whose_origins_they_are(origin: str, is_ours: bool) -> None:
    assert Origins(["https://*.example.org"]).has(origin) is is_ours


async def test_what_a_page_creates_is_created(service: Service) -> None:
    headers = {"Origin": ORIGIN, "Content-Type": "application/json", "X-User-Agent": "SDK"}
    response = await service.client.post(BASE, data=json.dumps({"functionName": "hello"}), headers=headers)
    assert (response.status, response.headers["Access-Control-Allow-Origin"]) == (200, ORIGIN)
