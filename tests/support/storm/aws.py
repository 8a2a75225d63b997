"""A storm with Lambda on the other side: the endpoint vanishes in the middle of invocations, and comes back.

A call whose answer never came may have run: it fails as one of unknown outcome, and never runs again.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from aiohttp import web
from support.aws.environment import environment_with
from support.storm import faults
from support.storm.faults import Fault
from support.storm.run_log import RunLog
from support.storm.storm import CONFIG, Storm

SHUTDOWN_TIMEOUT_S = 0.01
"""Not 0, which means to wait for every answer."""
FUNCTION_ERROR = {"X-Amz-Function-Error": "Unhandled"}


class LambdaEndpoint:
    """Lambda, as far as invoking goes; every run is recorded before it is answered."""

    def __init__(self, run_log: RunLog) -> None:
        self._run_log = run_log
        self._port = 0
        self._runner: web.AppRunner | None = None
        self._answering = asyncio.Event()
        self._answering.set()

    async def start(self) -> str:
        """Listens, always on the same port; gives the URL."""
        app = web.Application()
        app.router.add_post("/2015-03-31/functions/{name}/invocations", self._invoke)
        self._runner = web.AppRunner(app, shutdown_timeout=SHUTDOWN_TIMEOUT_S)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return f"http://127.0.0.1:{self._port}"

    async def stop(self) -> None:
        """Breaks every connection off, and refuses more."""
        assert self._runner is not None
        await self._runner.cleanup()

    @asynccontextmanager
    async def hanging(self) -> AsyncIterator[None]:
        """Meanwhile functions run and nobody answers."""
        self._answering.clear()
        yield
        self._answering.set()

    @asynccontextmanager
    async def hanging_up(self) -> AsyncIterator[None]:
        """Meanwhile somebody else listens on the port, and ends every connection without a word."""
        await self.stop()
        closing_server = await asyncio.start_server(_hang_up, "127.0.0.1", self._port, reuse_address=True)
        yield
        closing_server.close()
        await closing_server.wait_closed()
        await self.start()

    async def _invoke(self, request: web.Request) -> web.Response:
        task = json.loads(await request.read())
        self._run_log.begin(task["id"])
        await asyncio.sleep(task["data"]["ms"] / 1000)
        self._run_log.end(task["id"])
        await self._answering.wait()
        if task["data"].get("fatal"):
            return web.json_response({"errorType": "Fatal", "errorMessage": "always"}, headers=FUNCTION_ERROR)
        if task["data"]["fails"] and not task.get("retryForTaskIds"):
            body = {"errorType": "Flaky", "errorMessage": "once " * task["data"].get("words", 1)}
            return web.json_response(body, headers=FUNCTION_ERROR)
        return web.json_response(None)


async def _hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        await reader.read(1)
    writer.transport.abort()


class AwsStorm(Storm):
    """A storm with faults of the endpoint, too. Lambda has functions that taskd does not know of."""

    retried_errors = frozenset()
    has_rules = False

    def __init__(self, directory: Path, seed: int, endpoint: LambdaEndpoint, url: str, disk: Path | None) -> None:
        """``url`` is where the endpoint listens."""
        aws = f'[aws]\nendpoint_url = "{url}"\nregion = "eu-west-1"\n'
        config = f'runtime = "aws"\n{CONFIG}{aws}'
        super().__init__(directory, seed, disk=disk, config=config, environment=environment_with(), recorded=True)
        self._endpoint = endpoint
        mine = (
            Fault("endpoint gone", self._disappear),
            Fault("endpoint hanging", self._hang),
            Fault("endpoint hanging up", self._hang_up),
        )
        self.faults = [*faults.ON_ANY_RUNTIME, *mine]

    async def deploy(self) -> None:
        """Not needed."""

    async def _disappear(self, storm: Storm) -> None:
        await self._endpoint.stop()
        await asyncio.sleep(storm.rng.choice([0.3, 1.0]))
        await self._endpoint.start()

    async def _hang(self, storm: Storm) -> None:
        async with self._endpoint.hanging():
            await asyncio.sleep(storm.rng.choice([0.3, 1.0]))
            if storm.rng.random() < 0.5:
                await self._endpoint.stop()
                await self._endpoint.start()

    async def _hang_up(self, storm: Storm) -> None:
        async with self._endpoint.hanging_up():
            await asyncio.sleep(storm.rng.choice([0.3, 1.0]))


@asynccontextmanager
async def aws_storm(directory: Path, seed: int, disk: Path | None) -> AsyncIterator[AwsStorm]:
    """A storm and its endpoint, which goes at the end."""
    endpoint = LambdaEndpoint(RunLog(directory / "run-log"))
    url = await endpoint.start()
    try:
        yield AwsStorm(directory, seed, endpoint, url, disk)
    finally:
        await endpoint.stop()
