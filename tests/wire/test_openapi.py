"""The API's description of itself: complete, true, readable, and held against what a live daemon answers."""

import asyncio
import re
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiohttp import ClientSession, web
from msgspec import Struct
from oauthlib.oauth1 import Client
from support.auth.accounts import ADA, CLIENT, CONSUMER, PASSWORD, SECRET
from support.auth.service import SecuredService, secured_service
from support.daemon.process import DaemonProcess, api_of, running_daemon
from support.http.error_shape import assert_error
from support.http.service import BASE, function_body, http_service

from taskd.api.http.authorization import trust_everybody
from taskd.api.http.routing import Mount, Route
from taskd.api.openapi.document import openapi_document
from taskd.model import errors
from taskd.model.caller import Caller
from taskd.model.errors import CATALOGUE, ContractError
from taskd.model.permissions import Permission

FUZZ_TIMEOUT_S = 120
CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")
OAUTH1 = "/auth/v2/oauth1/tokens"
OAUTH2 = "/auth/v2/oauth2/tokens"
Json = dict[str, Any]


class Description(NamedTuple):
    """What a daemon says of itself."""

    document: Json
    health: Json
    page: str
    page_policy: str


async def described_by_a_daemon(directory: Path) -> Description:
    async with running_daemon(directory) as daemon, ClientSession(daemon.url, raise_for_status=True) as session:
        document = await (await session.get(f"{BASE}/openapi.json")).json()
        health = await (await session.get("/health")).json()
        page = await session.get(f"{BASE}/docs")
        assert page.content_type == "text/html"
        return Description(document, health, await page.text(), page.headers["Content-Security-Policy"])


@pytest.fixture(scope="module")
def description(tmp_path_factory: pytest.TempPathFactory) -> Description:
    return asyncio.run(described_by_a_daemon(tmp_path_factory.mktemp("described")))


@pytest.fixture
def document(description: Description) -> Json:
    return description.document


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from references(each)


def schema_of(document: Json, method: str, path: str, status: int = 200) -> Json:
    response = document["paths"][path][method.lower()]["responses"][str(status)]
    return dict(response["content"]["application/json"]["schema"])


def misdescribed(document: Json, schema: Json, value: Any) -> Iterator[str]:
    """The fields of ``value`` that ``schema`` does not know, and those it requires that ``value`` lacks."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if isinstance(value, list):
        for each in value:
            yield from misdescribed(document, schema["items"], each)
    elif isinstance(value, dict):
        yield from value.keys() - schema["properties"].keys()
        yield from set(schema.get("required", [])) - value.keys()
        for name in value.keys() & schema["properties"].keys():
            yield from misdescribed(document, schema["properties"][name], value[name])


def _path_of(route: web.AbstractRoute) -> str:
    assert route.resource is not None
    return route.resource.canonical


async def test_every_route_is_described_and_nothing_else(tmp_path: Path) -> None:
    async with secured_service(tmp_path) as secured:
        document = await secured.service.get("/openapi.json")
        routes = {(route.method, _path_of(route).rstrip("/")) for route in secured.service.app.router.routes()}
    assert {key for key in routes if key[0] != "HEAD"} == {(method, path) for method, path, _ in operations(document)}


def test_every_description_is_in_words_and_has_an_id_of_its_own(document: Json) -> None:
    ids = [operation["operationId"] for *_, operation in operations(document)]
    assert len(set(ids)) == len(ids)
    for *call, operation in operations(document):
        assert operation["summary"], call
        assert operation["description"].endswith("."), call


def test_every_permission_is_asked_for_somewhere(document: Json) -> None:
    asked_for = " ".join(operation.get("x-permission", "") for *_, operation in operations(document))
    assert {permission.value for permission in Permission} <= set(re.findall(r"\w+", asked_for))


def test_every_reference_leads_somewhere(document: Json) -> None:
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(references(document)) <= known


def test_errors_are_those_of_the_catalogue(document: Json) -> None:
    assert {entry["code"] for entry in document["x-errors"]} == set(CATALOGUE)
    for *_, operation in operations(document):
        for status, response in operation["responses"].items():
            if status not in ("200", "default"):
                codes = [int(code) for code in re.findall(r"(\d+) [A-Z]", response["description"])]
                assert codes
                assert all(CATALOGUE[code].http_status == int(status) for code in codes)


def test_bodies_say_what_they_need(document: Json) -> None:
    task = document["components"]["schemas"]["TaskBody"]
    assert task["required"] == ["functionName"]
    assert task["properties"]["data"] == {"type": "object"}
    assert task["properties"]["priority"]["anyOf"] == [{"type": "number"}, {"type": "null"}]


def test_a_description_follows_from_the_route() -> None:
    class Pump(Struct):
        """A pump."""

        name: str

    async def handler(request: web.Request) -> web.Response:
        """Starts a pump."""
        raise NotImplementedError

    route = Route(
        *("POST", "/pumps/{id}/{part:.+}", handler, Permission.VIEW_TASKS),
        tag="Pumps",
        summary="Start a pump",
        body=Pump,
        response=list[Pump],
        errors=(errors.ILLEGAL_STATE,),
    )
    document = openapi_document([Mount("/base", [route], trust_everybody)])
    operation = document["paths"]["/base/pumps/{id}/{part}"]["post"]
    assert document["tags"] == [{"name": "Pumps"}]
    assert document["components"]["schemas"]["Pump"]["required"] == ["name"]
    assert (operation["summary"], operation["description"]) == ("Start a pump", "Starts a pump.")
    assert (operation["x-permission"], bool(operation["security"])) == ("VIEW_TASKS", True)
    assert [parameter["name"] for parameter in operation["parameters"]] == ["id", "part"]
    assert {"200", "400", "401", "404", "413", "429", "500", "503"} == operation["responses"].keys()
    assert "27 ILLEGAL_STATE_EXCEPTION" in operation["responses"]["400"]["description"]
    assert schema_of(document, "POST", "/base/pumps/{id}/{part}")["items"] == {"$ref": "#/components/schemas/Pump"}


def test_health_is_what_is_described(description: Description) -> None:
    document = description.document
    schema = schema_of(document, "GET", "/health")
    assert list(misdescribed(document, schema, description.health)) == []
    assert schema_of(document, "GET", "/health", status=503) == schema


async def test_logins_and_users_are_what_is_described(tmp_path: Path) -> None:
    async with secured_service(tmp_path) as secured:
        document = await secured.service.get("/openapi.json")
        for method, path, body, headers in await account_calls(secured):
            response = await secured.service.client.request(method, path, json=body, headers=headers)
            schema = schema_of(document, method, path, response.status)
            assert list(misdescribed(document, schema, await response.json())) == [], (path, body)


async def account_calls(secured: SecuredService) -> list[tuple[str, str, Json, dict[str, str]]]:
    """Logins of either kind, good and bad, and a user who asks who they are."""
    client = {"client_id": CLIENT.key, "client_secret": SECRET}
    login = {"grant_type": "password", "username": ADA.email, "password": PASSWORD, **client}
    password = {"email": ADA.email, "password": PASSWORD}
    async with secured.service.client.post(OAUTH2, json=login) as response:
        token = (await response.json())["access_token"]
    return [
        ("POST", OAUTH2, login, {}),
        ("POST", OAUTH2, {"grant_type": "client_credentials", **client}, {}),
        ("POST", OAUTH2, {"grant_type": "unknown", **client}, {}),
        ("POST", OAUTH2, {**login, "password": "wrong"}, {}),
        ("POST", OAUTH2, {**login, "client_id": "unknown"}, {}),
        ("POST", OAUTH1, password, signed(secured)),
        ("POST", OAUTH1, {**password, "password": "wrong"}, signed(secured)),
        ("GET", "/users/v1/me", {}, {"Authorization": f"Bearer {token}"}),
    ]


def signed(secured: SecuredService) -> dict[str, str]:
    client = Client(CONSUMER.key, CONSUMER.secret, timestamp=str(secured.clock() // 1000))
    return dict(client.sign(secured.service.url + OAUTH1, "POST")[1])


def test_the_page_shows_everything_and_fetches_nothing(description: Description) -> None:
    shown = unescape(description.page.replace("<wbr>", ""))
    for _, path, operation in operations(description.document):
        assert path in shown
        assert operation["summary"] in shown
    assert "default-src 'none'" in description.page_policy
    assert not re.search(r"<script|<link|<img|src=|url\(|@import", description.page)
    targets = set(re.findall(r' id="([^"]+)"', description.page))
    assert set(re.findall(r'href="#([^"]+)"', description.page)) <= targets


async def test_the_description_is_open_to_those_without_credentials(tmp_path: Path) -> None:
    async def nobody(request: web.Request) -> Caller:
        raise ContractError(errors.NOT_AUTHENTICATED, "Show who you are.")

    async with http_service(tmp_path, authenticate=nobody) as service:
        for path in ("/openapi.json", "/openapi.json/", "/docs"):
            async with service.client.get(BASE + path) as response:
                assert response.status == 200
        async with service.client.get(BASE) as response:
            await assert_error(response, 104)


@pytest.mark.slow
async def test_requests_made_up_from_the_document_get_the_answers_it_promises(tmp_path: Path) -> None:
    async with running_daemon(tmp_path) as daemon, api_of(daemon) as api:
        await api.call("POST", "/functions", function_body())
        task = await api.wait_until_final((await api.create("hello"))["id"])
        status, report = await fuzzed(daemon, tmp_path, {"path.name": "hello", "path.id": task["id"]})
    assert status == 0, report


async def fuzzed(daemon: DaemonProcess, scratch: Path, parameters: dict[str, str]) -> tuple[int | None, str]:
    """What comes of requests that are made up from the document, but for ``parameters``."""
    config = scratch / "schemathesis.toml"
    config.write_text("\n".join(["[parameters]", *(f'"{name}" = "{value}"' for name, value in parameters.items())]))
    fuzzer = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config)),
        *("run", f"{daemon.url}{BASE}/openapi.json", "--checks", ",".join(CHECKS), "--no-color"),
        *("--generation-deterministic", "--max-examples", "6", "--phases", "coverage,fuzzing"),
        cwd=scratch,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(FUZZ_TIMEOUT_S):
            output, _ = await fuzzer.communicate()
    except TimeoutError:
        fuzzer.kill()
        await fuzzer.wait()
        raise
    return fuzzer.returncode, output.decode()
