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
from support.daemon.process import DaemonProcess, api_of, running_daemon
from support.http.error_shape import assert_error
from support.http.service import BASE, function_body, http_service

from taskd.api.http.authorization import trust_everybody
from taskd.api.http.routing import Mount, Route
from taskd.api.openapi.document import openapi_document
from taskd.api.openapi.operations import OPERATIONS
from taskd.model import errors
from taskd.model.caller import Caller
from taskd.model.errors import CATALOGUE, ContractError
from taskd.model.permissions import Permission

FUZZ_TIMEOUT_S = 120
CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")
Json = dict[str, Any]


class Description(NamedTuple):
    """What a daemon says of itself."""

    document: Json
    page: str
    page_policy: str


async def described_by_a_daemon(directory: Path) -> Description:
    async with running_daemon(directory) as daemon, ClientSession(daemon.url, raise_for_status=True) as session:
        document = await (await session.get(f"{BASE}/openapi.json")).json()
        page = await session.get(f"{BASE}/docs")
        assert page.content_type == "text/html"
        return Description(document, await page.text(), page.headers["Content-Security-Policy"])


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


def test_every_route_is_described_and_nothing_else(document: Json) -> None:
    described = {(method, path) for method, path, _ in operations(document)}
    paths = {path for _, path in described}
    assert all(key in described or (key[0] == "*" and key[1] in paths) for key in OPERATIONS)
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


def test_a_route_without_a_description_is_noticed() -> None:
    async def handler(request: web.Request) -> web.Response:
        """Answers nothing."""
        raise NotImplementedError

    with pytest.raises(KeyError, match="undescribed"):
        openapi_document([Mount(BASE, [Route("GET", "/undescribed", handler, None)], trust_everybody)])


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
