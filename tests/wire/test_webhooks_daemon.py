"""Webhooks of a real daemon: killed while it delivers, it loses nothing and never changes an id."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from standardwebhooks import Webhook as Verifier
from support.daemon.process import Api, api_of, running_daemon
from support.functions.zips import python_zip
from support.http.receiver import Receiver, receiving

pytestmark = pytest.mark.slow

CONFIG = '[webhooks]\nallow_networks = ["127.0.0.1"]\n'
CODE = "def handler(task, context):\n    if task['data'].get('fail'):\n        raise ValueError('no')\n"
TASKS = 40
KILLS = 2


async def deploy(api: Api) -> None:
    code = base64.b64encode(python_zip(CODE)).decode()
    body = {"name": "work", "runtime": "python3.11", "entryPoint": "index.handler", "code": code}
    await api.call("POST", "/functions", body)


async def send(url: str, method: str, path: str, body: Any = None) -> Any:
    async with ClientSession() as session, session.request(method, f"{url}/taskd/v1{path}", json=body) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def all_told(receiver: Receiver, tasks: set[str]) -> None:
    async with asyncio.timeout(60):
        while {each.json["data"]["id"] for each in receiver.received} != tasks:
            await asyncio.sleep(0.02)


async def test_a_daemon_that_is_killed_while_it_delivers_tells_of_every_end(tmp_path: Path) -> None:
    """The receiver answers so slowly that each kill comes while something is under way."""

    async def slowly(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.1)
        return web.Response()

    async with receiving() as receiver, running_daemon(tmp_path, CONFIG) as daemon, api_of(daemon) as api:
        receiver.answer = slowly
        await deploy(api)
        ends = ["task.complete", "task.failed"]
        webhook = await send(daemon.url, "POST", "/webhooks", {"url": receiver.url, "events": ends})
        elsewhere = {"url": f"http://127.2:{receiver.port}/", "events": ["task.retried"]}
        forbidden = (await send(daemon.url, "POST", "/webhooks", elsewhere))["id"]
        created = [
            (await api.call("POST", "/", {"functionName": "work", "data": {"fail": number % 2 == 0}}))["id"]
            for number in range(TASKS)
        ]
        for kill in range(1, KILLS + 1):
            await receiver.count(len(receiver.received) + kill)
            await daemon.kill()
            await daemon.start()
        await send(daemon.url, "POST", f"/webhooks/{forbidden}/test")
        await api.wait_until_idle()
        await all_told(receiver, set(created))
        async with ClientSession() as session, session.get(f"{daemon.url}/metrics") as response:
            measured = await response.text()
        listed = await send(daemon.url, "GET", f"/webhooks/{webhook['id']}/deliveries?limit(100)&status=delivered")
        [refused] = (await send(daemon.url, "GET", f"/webhooks/{forbidden}/deliveries"))["data"]
        assert await daemon.stop() == 0
    ids = {each.id: each.json["data"]["id"] for each in receiver.received}
    assert sorted(ids.values()) == sorted(created)  # one id for each task, however often it came
    verifier = Verifier(webhook["secrets"][0])
    for received in receiver.received:
        verifier.verify(received.body, received.headers)
    assert listed["page"]["total"] <= TASKS
    assert refused["status"] == "waiting"
    assert "statusCode" not in refused
    assert 'taskd_webhook_attempts_total{status="delivered"}' in measured
