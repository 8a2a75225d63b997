"""Pausing a function: its tasks wait in a real daemon, over a kill, and go on in order when it is resumed."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest
from support.daemon.process import Api, api_of, running_daemon
from support.functions.zips import python_zip
from support.http.error_shape import assert_error
from support.http.service import BASE, Service, function_body

from taskd.cli import main
from taskd.cli.exit_codes import ExitCode


async def deploy(api: Api, name: str) -> None:
    code = base64.b64encode(python_zip("def handler(task, context):\n    return 1\n")).decode()
    body = {"name": name, "runtime": "python3.11", "entryPoint": "index.handler", "code": code}
    await api.call("POST", "/functions", body)


async def status(api: Api, task: dict[str, Any]) -> str:
    return str((await api.call("GET", f"?eq(id,{task['id']})"))["data"][0]["status"])


async def ended(api: Api, task: dict[str, Any]) -> str:
    return str((await api.call("GET", f"/{task['id']}?wait=30"))["status"])


async def test_tasks_of_a_paused_function_wait_over_a_kill_and_others_go_on(tmp_path: Path) -> None:
    async with running_daemon(tmp_path) as daemon, api_of(daemon) as api:
        for name in ("paused", "other"):
            await deploy(api, name)
        await api.call("POST", "/functions/paused/pause", {"reason": "maintenance"})
        waiting = [await api.call("POST", "", {"functionName": "paused", "priority": 9}) for _ in range(3)]
        other = await api.call("POST", "", {"functionName": "other"})
        assert await ended(api, other) == "complete"
        direct = await api.call("POST", "/functions/paused/execute", {})
        assert direct["result"] == 1
        await daemon.kill()
        await daemon.start()
        other = await api.call("POST", "", {"functionName": "other"})
        assert await ended(api, other) == "complete"
        assert [await status(api, task) for task in waiting] == ["new"] * 3
        await api.call("POST", "/functions/paused/resume")
        assert [await ended(api, task) for task in waiting] == ["complete"] * 3
        assert await daemon.stop() == 0


async def call(service: Service, method: str, path: str, body: object = None) -> Any:
    async with service.client.request(method, BASE + path, json=body) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def test_a_paused_function_says_so_and_why_whatever_else_is_changed(service: Service) -> None:
    await call(service, "POST", "/functions", function_body())
    paused = await call(service, "POST", "/functions/hello/pause", {"reason": "maintenance"})
    assert (paused["paused"], paused["pauseReason"]) == (True, "maintenance")
    await call(service, "PUT", "/functions/hello", {"description": "else", **function_body()})
    await call(service, "POST", "/functions/hello/disable")
    seen = await call(service, "GET", "/functions/hello")
    assert (seen["paused"], seen["pauseReason"], seen["enabled"]) == (True, "maintenance", False)
    for _ in range(2):
        resumed = await call(service, "POST", "/functions/hello/resume")
        assert not {"paused", "pauseReason"} & set(resumed)


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/functions/absent/pause", None, 16),
        ("/functions/absent/resume", None, 16),
        ("/functions/hello/pause", {"reason": 5}, 15),
        ("/functions/hello/pause", {"reason": "x" * 1001}, 15),
        ("/functions/hello/pause", [], 22),
    ],
)
async def test_what_cannot_be_paused_is_refused(service: Service, path: str, body: object, code: int) -> None:
    await call(service, "POST", "/functions", function_body())
    async with service.client.post(BASE + path, json=body) as response:
        await assert_error(response, code)
    assert "paused" not in await call(service, "GET", "/functions/hello")


async def test_a_function_is_paused_and_resumed_from_the_command_line(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    await call(service, "POST", "/functions", function_body())

    async def run(*arguments: str) -> int:
        return await asyncio.to_thread(main, ["functions", *arguments, "--url", service.url])

    assert await run("pause", "hello", "--reason", "maintenance") == ExitCode.OK
    assert (await call(service, "GET", "/functions/hello"))["pauseReason"] == "maintenance"
    assert await run("resume", "hello") == ExitCode.OK
    assert "paused" not in await call(service, "GET", "/functions/hello")
    assert capsys.readouterr().out == "Paused hello.\nResumed hello.\n"
    assert await run("pause", "absent") == ExitCode.NOT_FOUND
