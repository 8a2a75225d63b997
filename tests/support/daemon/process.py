"""A real daemon in a process of its own, started, killed and started again by tests."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, ClientTimeout

READY = "taskd listening on "
START_TIMEOUT_S = 60
NOBODY_IS_ASKED = '[auth]\nmode = "disabled"\n'


class DaemonProcess:
    """``taskd serve`` on a directory; its log goes to ``daemon.log`` beside the data."""

    def __init__(
        self,
        directory: Path,
        config: str = "",
        arguments: tuple[str, ...] = (),
        *,
        program: tuple[str, ...] = ("-m", "taskd"),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Nobody is asked who they are where ``config`` has no ``[auth]``.

        ``program`` is what Python runs; ``environment`` comes on top of that of the test.
        """
        self.directory = directory
        self.data = directory / "data"
        self.log = directory / "daemon.log"
        self.url = ""
        self._config = directory / "taskd.toml"
        config = _sharing(config, directory)
        self._config.write_text(config if "[auth]" in config else f"{config}\n{NOBODY_IS_ASKED}")
        self._arguments = arguments
        self._program = program
        self._environment = dict(environment or {})
        self._process: asyncio.subprocess.Process | None = None
        self.kill_signal = signal.SIGKILL

    @property
    def process(self) -> asyncio.subprocess.Process:
        assert self._process is not None, "the daemon was never started"
        return self._process

    async def start(self) -> str:
        """Starts it and waits until it says that it listens; gives its URL."""
        command = [*self._program, "serve", "--config", str(self._config), "--data", str(self.data)]
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, *command, "--listen", "127.0.0.1:0", *self._arguments),
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**os.environ, **self._environment},
            )
        assert self._process.stdout is not None
        async with asyncio.timeout(START_TIMEOUT_S):
            line = (await self._process.stdout.readline()).decode()
        assert line.startswith(READY), f"the daemon did not start:\n{self.log.read_text()}"
        self.url = line.removeprefix(READY).strip()
        return self.url

    async def kill(self) -> None:
        """SIGKILL: no goodbye."""
        self.process.send_signal(self.kill_signal)
        await self.process.wait()

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Asks it to stop, waits, and gives its exit status."""
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await self.process.wait()


def _sharing(config: str, directory: Path) -> str:
    """``config`` with functions that may write to the test's directory, unless it says itself how they are confined."""
    if "confine =" in config:
        return config
    head, _, tail = config.partition("[local]\n")
    return f'{head}\n[local]\nwritable = ["{directory}"]\n{tail}'


@asynccontextmanager
async def running_daemon(directory: Path, config: str = "", *arguments: str) -> AsyncIterator[DaemonProcess]:
    """A started daemon, killed at the end if the test has not ended it."""
    daemon = DaemonProcess(directory, config, arguments)
    await daemon.start()
    try:
        yield daemon
    finally:
        if daemon.process.returncode is None:
            await daemon.kill()


class Api:
    """The task API of a daemon that may die and come back elsewhere meanwhile."""

    def __init__(self, daemon: DaemonProcess, session: ClientSession) -> None:
        self._daemon = daemon
        self._session = session

    async def call(self, method: str, path: str, body: object = None) -> Any:
        """The answer's JSON; anything but success fails the test with what the daemon said."""
        async with self._session.request(method, f"{self._daemon.url}/tasks/v1{path}", json=body) as response:
            text = await response.text()
            assert response.status == 200, f"{method} {path}: {response.status} {text}"
            return json.loads(text)

    async def create(self, function: str, **fields: object) -> dict[str, Any]:
        return dict(await self.call("POST", "", {"functionName": function, **fields}))

    async def get(self, task_id: str) -> dict[str, Any]:
        return dict((await self.call("GET", f"?id={task_id}"))["data"][0])

    async def all_tasks(self) -> list[dict[str, Any]]:
        """Every task there is, page by page."""
        found: list[dict[str, Any]] = []
        while True:
            page = await self.call("GET", f"?limit(100,{len(found)})")
            found += page["data"]
            if len(found) >= page["page"]["total"]:
                return found

    async def wait_for(self, task_id: str, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The task as soon as ``condition`` holds for it."""
        async with asyncio.timeout(60):
            while not condition(task := await self.get(task_id)):
                await asyncio.sleep(0.01)
        return task

    async def wait_until_final(self, task_id: str) -> dict[str, Any]:
        return await self.wait_for(task_id, lambda task: task["status"] not in ("new", "inProgress"))

    async def wait_until_idle(self) -> None:
        """Returns when no task waits or runs."""
        async with asyncio.timeout(120):
            while (await self.call("GET", "?in(status,new,inProgress)&limit(1)"))["page"]["total"]:
                await asyncio.sleep(0.05)


@asynccontextmanager
async def api_of(daemon: DaemonProcess) -> AsyncIterator[Api]:
    async with ClientSession(timeout=ClientTimeout(total=60)) as session:
        yield Api(daemon, session)
