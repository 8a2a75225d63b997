"""A storm with Lambda on the other side: the endpoint vanishes in the middle of invocations, and comes back.

A call whose answer never came may have run: it fails as one of unknown outcome, and never runs again.
"""

import asyncio
import json
import os
from contextlib import suppress
from pathlib import Path

import pytest
from aiohttp import web
from support.aws import use_key
from support.storm import CONFIG, Storm

STRIKES = int(os.environ.get("TASKD_STORM_STRIKES", "2"))
SEED = int(os.environ.get("TASKD_STORM_SEED", "1"))


class Endpoint:
    """Lambda, as far as invoking goes; every run is recorded before it is answered."""

    def __init__(self, ledger: Path) -> None:
        self._ledger = ledger
        self._port = 0
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        app = web.Application()
        app.router.add_post("/2015-03-31/functions/{name}/invocations", self._invoke)
        self._runner = web.AppRunner(app, shutdown_timeout=0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return f"http://127.0.0.1:{self._port}"

    async def stop(self) -> None:
        """Breaks every connection off."""
        assert self._runner is not None
        await self._runner.cleanup()

    async def _invoke(self, request: web.Request) -> web.Response:
        task = json.loads(await request.read())
        with self._ledger.open("a") as ledger:
            ledger.write(task["id"] + "\n")
        await asyncio.sleep(task["data"]["ms"] / 1000)
        if task["data"]["fails"] and not task.get("retryForTaskIds"):
            body = {"errorType": "Flaky", "errorMessage": "once"}
            return web.json_response(body, headers={"X-Amz-Function-Error": "Unhandled"})
        return web.json_response(None)


class AwsStorm(Storm):
    """A storm that blows the endpoint away, too."""

    def __init__(self, directory: Path, seed: int, endpoint: Endpoint, url: str) -> None:
        aws = f'[aws]\nendpoint_url = "{url}"\nregion = "eu-west-1"\n'
        super().__init__(directory, seed, f'runtime = "aws"\n{CONFIG}{aws}')
        self._endpoint = endpoint
        self.faults = [self._blow_away, self.kill]

    async def deploy(self) -> None:
        """Not needed: Lambda has functions that taskd does not know of."""

    async def _blow_away(self) -> None:
        self.struck["endpoint gone"] += 1
        await self._endpoint.stop()
        await asyncio.sleep(0.3)
        await self._endpoint.start()


async def test_an_endpoint_that_vanishes_loses_nothing_and_runs_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_key(monkeypatch)
    endpoint = Endpoint(tmp_path / "ledger")
    storm = AwsStorm(tmp_path, SEED, endpoint, await endpoint.start())
    try:
        await storm.run(STRIKES)
    except BaseException as error:
        error.add_note(f"seed {SEED}, after {dict(storm.struck)}; the daemon said:\n{storm.daemon.log.read_text()}")
        raise
    finally:
        with suppress(AssertionError):
            if storm.daemon.process.returncode is None:
                await storm.daemon.kill()
        await endpoint.stop()
