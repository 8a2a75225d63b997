"""Adopted functions on a Lambda endpoint that is not ours and not AWS's: ``serverless-offline`` runs them."""

import asyncio
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientError, ClientSession
from support.aws.environment import environment_with
from support.daemon.process import api_of, running_daemon
from support.functions.packages import npm_packages

from taskd.cli import main
from taskd.cli.exit_codes import ExitCode

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed"),
]
PACKAGES = ("serverless@3.40.0", "serverless-offline@13.9.0")
START_S = 120
SERVICE = """
service: theirs
provider: {{name: aws, region: eu-west-1, runtime: nodejs18.x}}
plugins: [serverless-offline]
custom: {{serverless-offline: {{host: 127.0.0.1, httpPort: {0}, websocketPort: {1}, lambdaPort: {2}}}}}
functions:
  greet: {{name: theirs-greet, handler: index.greet, timeout: 20}}
  answer: {{name: theirs-answer, handler: index.answer, timeout: 20}}
"""
CODE = """
exports.greet = async (task) => {
  if (task.data.fails) throw new RangeError('as it was asked to');
  return { greeting: `Hello, ${task.data.name}` };
};
exports.answer = async (event) => ({ statusCode: 201, body: event.rawPath });
"""


def free_port() -> int:
    """One that nobody listened on a moment ago: all three must be known before it starts."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def make_project(folder: Path, ports: list[int]) -> None:
    packages = npm_packages(*PACKAGES)
    folder.mkdir()
    (folder / "node_modules").symlink_to(packages / "node_modules")
    (folder / "serverless.yml").write_text(SERVICE.format(*ports))
    (folder / "index.js").write_text(CODE)


@asynccontextmanager
async def serverless_offline(folder: Path) -> AsyncIterator[str]:
    """The address of its Lambda endpoint, on which the functions of ``CODE`` are called."""
    ports = [free_port() for _ in range(3)]
    await asyncio.to_thread(make_project, folder, ports)
    environment = {**os.environ, **environment_with(), "SLS_TELEMETRY_DISABLED": "1", "CI": "1", "HOME": str(folder)}
    with open(folder / "log", "w") as log:  # noqa: ASYNC230, PTH123  a file of the moment
        process = await asyncio.create_subprocess_exec(
            *("node_modules/.bin/serverless", "offline", "start"),
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            url = f"http://127.0.0.1:{ports[2]}"
            await answers(url, process, folder / "log")
            yield url
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def answers(url: str, process: asyncio.subprocess.Process, log: Path) -> None:
    """Returns when somebody listens at ``url``."""
    async with asyncio.timeout(START_S), ClientSession() as session:
        while True:
            assert process.returncode is None, await asyncio.to_thread(log.read_text)
            try:
                async with session.get(url):
                    return
            except ClientError:
                await asyncio.sleep(0.2)


async def test_functions_of_others_run_as_tasks_directly_and_over_http(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in environment_with().items():
        monkeypatch.setenv(name, value)
    async with serverless_offline(tmp_path / "theirs") as url:
        config = f'runtime = "aws"\n[aws]\nregion = "eu-west-1"\nendpoint_url = "{url}"\nname_prefix = "ours-"\n'
        async with running_daemon(tmp_path, config) as daemon, api_of(daemon) as api, ClientSession() as session:
            for name in ("theirs-greet", "theirs-answer"):
                adopt = ["functions", "adopt", name, "--time-limit", "20", "--url", daemon.url]
                assert await asyncio.to_thread(main, adopt) == ExitCode.OK
            assert "Adopted theirs-greet: 20 s, 128 MB, as AWS did not tell." in capsys.readouterr().out
            task = await api.create("theirs-greet", data={"name": "Ada"})
            assert (await api.wait_until_final(task["id"]))["status"] == "complete"
            body = {"data": {"name": "Grace"}}
            executed = await api.call("POST", "/functions/theirs-greet/execute", body)
            assert executed["result"] == {"greeting": "Hello, Grace"}
            failing = await api.create("theirs-greet", data={"fails": True})
            assert (await api.wait_until_final(failing["id"]))["status"] == "failed"
            async with session.get(f"{daemon.url}/tasks/v1/api/theirs-answer/a/b") as response:
                assert response.status == 201
            await daemon.kill()
            await daemon.start()
            await api.call("POST", "/functions/theirs-greet/disable")
            disabled = await api.create("theirs-greet")
            ended = await api.wait_until_final(disabled["id"])
            assert ended["error"]["name"] == "FUNCTION_DISABLED"
            await api.call("DELETE", "/functions/theirs-greet")
            task = await api.create("theirs-greet", data={"name": "Lin"})
            assert (await api.wait_until_final(task["id"]))["status"] == "complete"
