"""Pausing everything in a real daemon: over a kill, with calls refused, and seen by whoever looks."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from support.daemon.process import api_of, running_daemon
from support.functions.zips import python_zip
from support.http.error_shape import assert_error

from taskd.cli import main
from taskd.cli.exit_codes import ExitCode

pytestmark = pytest.mark.slow

CODE = base64.b64encode(python_zip("def handler(task, context):\n    return {'statusCode': 200}\n")).decode()
BODY = {"name": "f", "runtime": "python3.11", "entryPoint": "index.handler", "code": CODE}


async def test_everything_waits_over_a_kill_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with running_daemon(tmp_path) as daemon, api_of(daemon) as api, ClientSession() as session:

        async def own(method: str, path: str, body: object = None) -> Any:
            async with session.request(method, daemon.url + path, json=body) as response:
                assert response.status == 200, await response.text()
                return await response.json()

        async def run(*command: str) -> int:
            return await asyncio.to_thread(main, [*command, "--url", daemon.url])

        await api.call("POST", "/functions", BODY)
        assert await own("GET", "/taskd/v1/pause") == {"paused": False}
        assert await run("pause", "--reason", "moving") == ExitCode.OK
        pause = await own("GET", "/taskd/v1/pause")
        assert (pause["paused"], pause["reason"]) == (True, "moving")
        waiting = await api.create("f")
        await daemon.kill()
        await daemon.start()
        assert await own("GET", "/taskd/v1/pause") == pause
        assert "moving" in (await own("GET", "/health"))["paused"]
        for method, path in (("POST", "/functions/f/execute"), ("GET", "/api/f")):
            async with session.request(method, f"{daemon.url}/tasks/v1{path}", json={}) as response:
                assert "moving" in (await assert_error(response, 1503))["message"]
        assert (await api.get(waiting["id"]))["status"] == "new"
        assert await run("resume") == ExitCode.OK
        assert (await api.call("GET", f"/{waiting['id']}?wait=30"))["status"] == "complete"
        await api.call("POST", "/functions/f/execute", {})
        assert "paused" not in await own("GET", "/health")
        trail = (await own("GET", "/taskd/v1/audit"))["data"]
        assert [entry["action"] for entry in trail if entry["action"].startswith("everything")] == [
            *("everything.pause", "everything.resume")
        ]
        assert await daemon.stop() == 0
    assert "Everything goes on" in capsys.readouterr().out
