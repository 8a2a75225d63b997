"""The published SDK in a real browser, on a page of another origin than taskd's."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port
from support.auth.accounts import EVERYBODY, holder, with_holders
from support.auth.service import SecuredService, secured_service
from support.functions.node_project import installed_project
from support.http.browser import TIMEOUT_S, browser_on, needs_chromium

from taskd.api.settings import ServerSettings
from taskd.rql.parser import parse

pytestmark = [pytest.mark.slow, needs_chromium]

USER = holder(1000, "CREATE_TASKS", "VIEW_TASKS")
SCRIPT = """
    async function work() {
        const shown = {clientId: "page", accessToken: "TOKEN", refreshToken: "none"};
        const exh = sdk.createOAuth2Client({host: "HOST", ...shown});
        const task = await exh.tasks.create({functionName: "nobody", startTimestamp: new Date("2199-01-01")});
        const isTyped = error => error.constructor === sdk.NoPermissionError;
        const missing = await exh.users.findById("0".repeat(24)).catch(isTyped);
        return {id: task.id, found: (await exh.tasks.findById(task.id)).id, me: (await exh.users.me()).id, missing};
    }
    work().catch(error => ({refused: String(error.message)}))
        .then(told => fetch("/done", {method: "POST", body: JSON.stringify(told)}));
"""


@asynccontextmanager
async def page_told(port: int, name: str, script: str, folder: Path) -> AsyncIterator[Any]:
    """What the page of ``http://name:port``, with the SDK and ``script`` in it, tells."""
    told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    bundle = await installed_project().browser_bundle()

    async def done(request: web.Request) -> web.Response:
        told.set_result(await request.text())
        return web.Response()

    async def page(request: web.Request) -> web.Response:
        html = f'<script src="/sdk.js"></script><script>{script}</script>'
        return web.Response(text=html, content_type="text/html")

    async def sdk(request: web.Request) -> web.Response:
        return web.Response(text=bundle, content_type="text/javascript", charset="utf-8")

    app = web.Application()
    app.add_routes([web.get("/", page), web.get("/sdk.js", sdk), web.post("/done", done)])
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        async with browser_on(f"http://{name}:{port}/", folder / "browser", name), asyncio.timeout(TIMEOUT_S):
            yield json.loads(await told)
    finally:
        await runner.cleanup()


def script_for(secured: SecuredService) -> str:
    host = f"http://localhost:{urlsplit(secured.service.url).port}"
    return SCRIPT.replace("HOST", host).replace("TOKEN", USER.token)


async def test_a_page_of_a_configured_origin_uses_the_sdk(tmp_path: Path) -> None:
    port = unused_port()
    settings = ServerSettings(origins=(f"http://*.pages.example:{port}",))
    async with secured_service(tmp_path, with_holders(EVERYBODY, USER), server=settings) as secured:
        script = script_for(secured)
        async with page_told(port, "app.pages.example", script, tmp_path) as told:
            assert told == {"id": told["id"], "found": told["id"], "me": USER.user.id, "missing": True}
        assert await secured.service.store.get(told["id"]) is not None


async def test_a_page_of_another_origin_is_refused(tmp_path: Path) -> None:
    port = unused_port()
    settings = ServerSettings(origins=(f"http://*.pages.example:{port}",))
    async with secured_service(tmp_path, with_holders(EVERYBODY, USER), server=settings) as secured:
        async with page_told(port, "other.example", script_for(secured), tmp_path) as told:
            assert told == {"refused": "Network Error"}
        assert (await secured.service.store.find(parse(""))).total == 0
