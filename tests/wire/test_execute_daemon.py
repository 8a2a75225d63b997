"""Callers who wait, and a daemon that stops or dies meanwhile."""

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

from aiohttp import ClientSession
from support.daemon.process import DaemonProcess, api_of, running_daemon
from support.functions.local_runtime import appears
from support.http.synchronous_calls import gate_body

from taskd.model.errors import NOT_INVOKED, UNAVAILABLE


async def begin(daemon: DaemonProcess, session: ClientSession, path: str) -> "asyncio.Task[tuple[int, Any]]":
    """A call that waits before the gate."""

    async def call() -> tuple[int, Any]:
        async with session.post(f"{daemon.url}/tasks/v1{path}") as response:
            text = await response.text()
            return response.status, json.loads(text) if text.startswith("{") else text

    running = asyncio.create_task(call())
    await appears(daemon.directory / "started")
    (daemon.directory / "started").unlink()
    return running


async def test_sigterm_lets_callers_have_their_answers_but_begins_nothing(tmp_path: Path) -> None:
    async with running_daemon(tmp_path) as daemon, api_of(daemon) as api, ClientSession() as session:
        await api.call("POST", "/functions", gate_body(tmp_path))
        execution = await begin(daemon, session, "/functions/gate/execute")
        call = await begin(daemon, session, "/api/gate/x")
        daemon.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            while True:
                async with session.get(f"{daemon.url}/health") as response:
                    report = await response.json()
                if report["status"] == "stopping":
                    break
        assert report["attended"] == 2
        for path in ("/functions/gate/execute", "/api/gate/x"):
            async with session.post(f"{daemon.url}/tasks/v1{path}") as response:
                assert (response.status, (await response.json())["code"]) == (503, UNAVAILABLE.code)
        (tmp_path / "gate").touch()
        status, task = await execution
        assert (status, task["status"], task["result"]["body"]) == (200, "complete", "opened")
        assert await call == (200, "opened")
        assert await daemon.process.wait() == 0
        await daemon.start()
        assert (await api.get(task["id"]))["status"] == "complete"
        [record] = (await api.call("GET", "/apiRequests"))["data"]
        assert (record["path"], record["statusCode"]) == ("x", 200)


async def test_an_execution_cut_short_has_an_unknown_outcome(tmp_path: Path) -> None:
    config = "[dispatch]\ngrace_s = 0.1\n"
    async with running_daemon(tmp_path, config) as daemon, api_of(daemon) as api, ClientSession() as session:
        await api.call("POST", "/functions", gate_body(tmp_path))
        execution = await begin(daemon, session, "/functions/gate/execute")
        assert await daemon.stop() == 0
        status, told = await execution
        assert (status, told["code"], "not known" in told["message"]) == (400, NOT_INVOKED.code, True)
        await daemon.start()
        [task] = await api.all_tasks()
        assert (task["status"], task["error"]["name"]) == ("failed", "zombieTaskCleaned")


async def test_an_execution_that_the_daemon_died_under_is_not_tried_again(tmp_path: Path) -> None:
    async with running_daemon(tmp_path) as daemon, api_of(daemon) as api, ClientSession() as session:
        retries = {"enabled": True, "errorsToRetry": []}
        await api.call("POST", "/functions", gate_body(tmp_path, retryPolicy=retries))
        execution = await begin(daemon, session, "/functions/gate/execute")
        await daemon.kill()
        await asyncio.wait([execution])
        assert isinstance(execution.exception(), Exception)
        (tmp_path / "gate").touch()
        await daemon.start()
        [task] = await api.all_tasks()
        assert (task["status"], task["error"]["name"]) == ("failed", "zombieTaskCleaned")
