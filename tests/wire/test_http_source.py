"""Web pages, and names that lead here: which requests are refused before anything looks at them."""

import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
from support.auth.accounts import ADA, EVERYBODY, PASSWORD, PUBLIC_CLIENT, holder, with_holders
from support.auth.service import secured_service
from support.http.raw import send_raw
from support.http.service import BASE, Service, function_body, http_service

from taskd.api.http.host_names import HostNames
from taskd.api.settings import ServerSettings

SOURCE_LOG = "taskd.api.http.request_source"
FUNCTIONS = f"{BASE}/functions"
FOREIGN_PAGE = {"Origin": "https://evil.example"}
NAVIGATION = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
SIMPLE_TYPES = [
    "text/plain",
    "text/plain;charset=UTF-8",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "",
]


class Answer(NamedTuple):
    status: int
    code: int | None
    message: str


async def ask(service: Service, method: str = "GET", path: str = BASE, body: str = "", **headers: str) -> Answer:
    """Sends a request with these headers alone, ``_`` in their names for ``-``."""
    named = {name.replace("_", "-"): value for name, value in {"Host": "localhost", **headers}.items() if value}
    if body:
        named["Content-Length"] = str(len(body.encode()))
    head = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items()), "Connection: close"]
    received = await send_raw(service.url, "\r\n".join([*head, "", ""]).encode() + body.encode())
    start, _, content = received.partition(b"\r\n\r\n")
    answer = json.loads(content) if b"application/json" in start else {}
    fields = answer if isinstance(answer, dict) else {}
    return Answer(int(start.split()[1]), fields.get("code"), fields.get("message", ""))


async def create_function(service: Service, **headers: str) -> Answer:
    return await ask(service, "POST", FUNCTIONS, json.dumps(function_body()), **headers)


def from_page(**headers: str) -> dict[str, str]:
    return {name.replace("-", "_"): value for name, value in headers.items()}


@pytest.mark.parametrize(
    "path", [BASE, f"{FUNCTIONS}/hello", "/health", f"{BASE}/docs", "/nowhere", f"{BASE}/api/hello"]
)
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil", "127.1"]
)
async def test_a_name_that_was_made_to_lead_here_reads_nothing(service: Service, host: str, path: str) -> None:
    answer = await ask(service, path=path, Host=host)
    assert (answer.status, answer.code) == (400, 26)
    assert host in answer.message
    assert "hosts under [server]" in answer.message


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9", "localhost.", "127.0.0.1", "127.0.0.1:8080"])
async def test_the_names_of_the_address_that_is_listened_on_are_its_own(service: Service, host: str) -> None:
    assert (await ask(service, Host=host)).status == 200


@pytest.mark.parametrize(
    ("listen_host", "ours", "foreign"),
    [
        ("127.0.0.1", ["127.0.0.1", "localhost:1"], ["[::1]", "10.0.0.1", "127.0.0.2", "a b", "[evil]", "::1", "x:y"]),
        ("0.0.0.0", ["127.0.0.1:80", "10.0.0.1", "[fe80::1]:80"], ["evil.example", "[::1]evil", "1.2.3.4@evil"]),
        ("::", ["[::1]", "10.0.0.1"], ["evil.example"]),
        ("::1", ["[::1]:8080", "[0:0:0:0:0:0:0:1]"], ["127.0.0.1", "[::2]"]),
        ("tasks.internal", ["tasks.internal:80", "Tasks.Internal.", "10.0.0.1"], ["x.tasks.internal", "internal"]),
    ],
)
def test_whose_names_they_are(listen_host: str, ours: list[str], foreign: list[str]) -> None:
    names = HostNames(listen_host, [])
    assert [host for host in ours + foreign if names.is_ours(host)] == ours


async def test_configured_hosts_are_ours_and_no_others(tmp_path: Path) -> None:
    async with http_service(tmp_path, ServerSettings(hosts=("tasks.example.com",))) as service:
        assert (await ask(service, Host="Tasks.example.com:443")).status == 200
        assert (await ask(service, Host="x.tasks.example.com")).code == 26


async def test_behind_a_proxy_credentials_do_until_hosts_is_set_and_the_name_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    viewer = holder(1000, "VIEW_TASKS")
    caplog.set_level(logging.WARNING, SOURCE_LOG)
    async with secured_service(tmp_path, with_holders(EVERYBODY, viewer)) as secured:
        service = secured.service
        for _ in range(2):
            assert (await ask(service, Host="tasks.example.com", Authorization=f"Bearer {viewer.token}")).status == 200
        assert (await ask(service, Host="tasks.example.com", Authorization="OAuth x=y")).status == 401
        assert (await ask(service, Host="tasks.example.com", Authorization="Basic YTpi")).code == 26
        assert (await ask(service, Host="tasks.example.com")).code == 26
        login = {"grant_type": "password", "username": ADA.email, "password": PASSWORD, "client_id": PUBLIC_CLIENT.key}
        body, json_type = json.dumps(login), "application/json"
        answer = await ask(
            service, "POST", "/auth/v2/oauth2/tokens", body, Host="tasks.example.com", Content_Type=json_type
        )
        assert answer.status == 200
    named = [record.getMessage() for record in caplog.records if record.name == SOURCE_LOG]
    assert [message.count("tasks.example.com") for message in named] == [1]


async def test_where_hosts_is_set_credentials_do_not_make_up_for_a_foreign_name(tmp_path: Path) -> None:
    viewer = holder(1000, "VIEW_TASKS")
    server = ServerSettings(hosts=("tasks.example.com",))
    async with secured_service(tmp_path, with_holders(EVERYBODY, viewer), server=server) as secured:
        bearer = f"Bearer {viewer.token}"
        assert (await ask(secured.service, Host="tasks.example.com", Authorization=bearer)).status == 200
        assert (await ask(secured.service, Host="evil.example", Authorization=bearer)).code == 26


async def test_where_nobody_is_asked_credentials_do_not_make_up_for_a_foreign_name(service: Service) -> None:
    assert (await ask(service, Host="evil.example", Authorization="Bearer x")).code == 26


@pytest.mark.parametrize("content_type", [*SIMPLE_TYPES, "application/json"])
@pytest.mark.parametrize(
    "page",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "file://localhost"},
        {"Origin": "http://localhost", "Sec-Fetch-Site": "same-site"},
        {"Origin": "http://localhost", "Sec-Fetch-Site": "nonsense"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    ],
)
async def test_a_page_of_another_origin_cannot_create_a_function(
    service: Service, page: dict[str, str], content_type: str
) -> None:
    answer = await create_function(service, Content_Type=content_type, **from_page(**page))
    assert (answer.status, answer.code) == (401, 10)
    assert "origins under [server]" in answer.message
    assert service.store.functions() == []


@pytest.mark.parametrize("page", [{"Origin": "http://localhost"}, {"Sec-Fetch-Site": "same-origin"}])
@pytest.mark.parametrize("content_type", SIMPLE_TYPES)
async def test_what_a_form_could_send_is_taken_from_no_page_at_all(
    service: Service, page: dict[str, str], content_type: str
) -> None:
    answer = await create_function(service, Content_Type=content_type, **from_page(**page))
    assert (answer.status, answer.code) == (400, 26)
    assert "application/json" in answer.message
    assert service.store.functions() == []


@pytest.mark.parametrize("page", [{"Origin": "http://LOCALHOST"}, {"Sec-Fetch-Site": "none"}, {"Origin": ""}])
async def test_a_page_of_the_service_itself_may_call(service: Service, page: dict[str, str]) -> None:
    assert (await create_function(service, Content_Type="application/json", **from_page(**page))).status == 200


async def test_a_page_behind_a_proxy_that_does_tls_is_of_the_same_host(service: Service) -> None:
    assert (await ask(service, Origin="https://localhost", Sec_Fetch_Site="same-origin")).status == 200


@pytest.mark.parametrize("content_type", SIMPLE_TYPES)
async def test_the_default_type_of_curl_is_taken_from_those_who_are_no_browser(
    service: Service, content_type: str
) -> None:
    assert (await create_function(service, Content_Type=content_type)).status == 200


@pytest.fixture
async def with_origins(tmp_path: Path) -> AsyncIterator[Service]:
    origins = ("https://app.example.com", "https://*.apps.example.com", "http://[::1]:3000")
    async with http_service(tmp_path, ServerSettings(origins=origins)) as running:
        yield running


@pytest.mark.parametrize(
    "origin",
    ["https://app.example.com", "https://a.apps.example.com", "https://a.b.apps.example.com", "http://[::1]:3000"],
)
async def test_pages_of_configured_origins_may_call(with_origins: Service, origin: str) -> None:
    page = {"Origin": origin, "Sec_Fetch_Site": "cross-site"}
    assert (await ask(with_origins, **page)).status == 200
    assert (await create_function(with_origins, Content_Type="text/plain", **page)).code == 26
    assert (await create_function(with_origins, Content_Type="application/json", **page)).status == 200


@pytest.mark.parametrize(
    "origin",
    [
        "http://app.example.com",
        "https://app.example.com:444",
        "https://apps.example.com",
        "https://.apps.example.com",
        "https://evilapps.example.com",
        "https://a.apps.example.com.evil",
        "http://a.apps.example.com",
    ],
)
async def test_pages_of_origins_that_only_look_alike_may_not(with_origins: Service, origin: str) -> None:
    assert (await ask(with_origins, Origin=origin, Sec_Fetch_Site="cross-site")).code == 10


async def test_another_site_may_link_to_the_documentation_and_to_nothing_else(service: Service) -> None:
    for path in (f"{BASE}/docs", f"{BASE}/docs/"):
        assert (await ask(service, path=path, **from_page(**NAVIGATION))).status == 200
        for other in ({"Sec-Fetch-Dest": "iframe"}, {"Sec-Fetch-Mode": "no-cors"}):
            assert (await ask(service, path=path, **from_page(**{**NAVIGATION, **other}))).code == 10
    for path in (BASE, f"{BASE}/functions", f"{BASE}/openapi.json", "/health", "/metrics", f"{BASE}/docs/../functions"):
        assert (await ask(service, path=path, **from_page(**NAVIGATION))).code == 10, path
    assert (await ask(service, "POST", f"{BASE}/docs", **from_page(**NAVIGATION))).code == 10


async def test_a_form_of_its_own_page_reaches_an_api_function(service: Service) -> None:
    """What its body means is the function's own business; a page of another origin is refused all the same."""
    form = {"Content_Type": "application/x-www-form-urlencoded", "Sec_Fetch_Site": "same-origin"}
    assert (await ask(service, "POST", f"{BASE}/api/nothing", "a=b", **form)).code == 16
    form["Sec_Fetch_Site"] = "cross-site"
    assert (await ask(service, "POST", f"{BASE}/api/nothing", "a=b", **form)).code == 10
