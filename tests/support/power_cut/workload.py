"""Work for a daemon: clients that create, cancel, deploy, schedule, call and list, and log what they were told."""

import asyncio
import base64
import hashlib
import itertools
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout
from support.daemon.process import DaemonProcess
from support.functions.zips import zip_of
from support.power_cut.observations import ObservationLog

CREATING_CLIENTS = 4
CONFIG = """
[store]
segment_mib = 1
[local]
max_sandboxes = 3
[log]
level = "warning"
"""
FINAL = "complete,failed,retried,canceled"
RUN_LOGGER = """
import os, time

class Flaky(Exception): pass

def handler(event, context):
    if "data" not in event:
        return {"statusCode": 200, "body": '"here"'}
    run_log = os.open(os.environ["RUN_LOG"], os.O_WRONLY | os.O_APPEND)
    os.write(run_log, f"{event['id']} {time.monotonic_ns()}\\n".encode())  # one write: whole or not at all
    os.close(run_log)
    if event["data"].get("fails") and not event.get("retryForTaskIds"):
        raise Flaky("once")
"""


class Workload:
    """Everything random comes from ``rng``; what clients observe goes to ``observation_log``."""

    def __init__(
        self, daemon: DaemonProcess, run_log: Path, observation_log: ObservationLog, rng: random.Random
    ) -> None:
        self.codes: dict[str, bytes] = {}
        """The zip of every version that was ever deployed."""
        self.bodies: dict[str, dict[str, Any]] = {}
        """What was asked for in each creation, by its key."""
        self._daemon = daemon
        self._run_log = run_log
        self._observation_log = observation_log
        self._rng = rng
        self._keys = itertools.count()
        self._versions = itertools.count()
        self._deployed = False
        run_log.touch()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """All clients work meanwhile, also while the daemon is down."""
        jobs = [*[self._create] * CREATING_CLIENTS, self._deploy, self._schedule, self._call, self._list_ended]
        async with ClientSession(timeout=ClientTimeout(total=30)) as self._session:
            await self._deploy()
            clients = [asyncio.create_task(self._repeat(job)) for job in jobs]
            try:
                yield
            finally:
                for client in clients:
                    client.cancel()
                results = await asyncio.gather(*clients, return_exceptions=True)
        failures = [result for result in results if not isinstance(result, asyncio.CancelledError)]
        assert not failures, failures

    def runs(self) -> list[tuple[str, int]]:
        """What the functions wrote down: tasks, and when each began to run."""
        rows = (line.split() for line in self._run_log.read_text().splitlines())
        return [(task_id, int(time_ns)) for task_id, time_ns in rows]

    def record_runs(self) -> None:
        """Logs the runs that the functions wrote down."""
        for task_id, time_ns in self.runs():
            self._observation_log.record("run", task_id, time_ns=time_ns)

    async def _repeat(self, job: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await job()
                await asyncio.sleep(self._rng.random() * 0.05)
            except (ClientError, OSError, TimeoutError):  # the daemon is down
                await asyncio.sleep(0.02)

    async def _request(self, method: str, path: str, body: object = None) -> Any:
        async with self._session.request(method, f"{self._daemon.url}/tasks/v1{path}", json=body) as response:
            return await _answer(response)

    async def _create(self) -> None:
        key, rng = f"k{next(self._keys)}", self._rng
        data = {"key": key, "fails": rng.random() < 0.1, "padding": "x" * rng.choice([0, 100, 20_000, 60_000])}
        body: dict[str, Any] = {"functionName": "run-logger", "data": data}
        is_canceled = rng.random() < 0.2
        if is_canceled:
            body["startTimestamp"] = time.time() * 1000 + 3_600_000
        self._observation_log.record("creation_attempt", key)
        self.bodies[key] = body
        task = await create_once(self._session, self._daemon.url, body)
        self._observation_log.record("creation", task["id"], key)
        if is_canceled:
            await self._request("POST", f"/{task['id']}/cancel")
            self._observation_log.record("cancellation", task["id"])

    async def _deploy(self) -> None:
        source = f"{RUN_LOGGER}\n# version {next(self._versions)}\n"
        code = zip_of({"index.py": source, "parts/nested/part.py": "x = 1\n" * self._rng.choice([1, 5_000])})
        version = hashlib.sha256(code).hexdigest()
        self.codes[version] = code
        fields = {"code": base64.b64encode(code).decode()}
        self._observation_log.record("deployment_attempt", "run-logger", version)
        if self._deployed:
            await self._request("PUT", "/functions/run-logger", fields)
        else:
            await self._request("POST", "/functions", {**self._definition(), **fields})
            self._deployed = True
        self._observation_log.record("deployment", "run-logger", version)
        await asyncio.sleep(self._rng.random() * 0.5)

    def _definition(self) -> dict[str, Any]:
        """The function writes nothing below the data directory: sandboxes are not recorded."""
        return {
            "name": "run-logger",
            "runtime": "python3.11",
            "entryPoint": "index.handler",
            "environmentVariables": {
                "RUN_LOG": {"value": str(self._run_log)},
                "PYTHONDONTWRITEBYTECODE": {"value": "1"},
            },
            "retryPolicy": {"enabled": True, "errorsToRetry": ["Flaky"]},
        }

    async def _schedule(self) -> None:
        made = await self._request("POST", "/schedules", {"functionName": "run-logger", "interval": 1, "data": {}})
        self._observation_log.record("schedule_creation", made["id"])
        await asyncio.sleep(self._rng.random())
        if self._rng.random() < 0.8:
            self._observation_log.record("schedule_removal_attempt", made["id"])
            await self._request("DELETE", f"/schedules/{made['id']}")
            self._observation_log.record("schedule_removal", made["id"])

    async def _call(self) -> None:
        assert await self._request("GET", "/api/run-logger/somewhere") == "here"

    async def _list_ended(self) -> None:
        page = await self._request("GET", f"?in(status,{FINAL})&sort(-creationTimestamp)&limit(100)")
        for task in page["data"]:
            self._observation_log.record("end", task["id"], task["status"])


async def create_once(session: ClientSession, url: str, body: dict[str, Any]) -> Any:
    """The task that was created by the first such call; the key in its data is the idempotency key."""
    headers = {"Idempotency-Key": body["data"]["key"]}
    async with session.post(f"{url}/tasks/v1", json=body, headers=headers) as response:
        return await _answer(response)


async def _answer(response: ClientResponse) -> Any:
    text = await response.text()
    if response.status == 503:  # on its way down
        raise ConnectionError(text)
    assert response.status == 200, f"{response.method} {response.url}: {response.status} {text}"
    return json.loads(text)
