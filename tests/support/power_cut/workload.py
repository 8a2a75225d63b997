"""A daemon's day: clients that create, cancel, deploy, schedule, call and look, and remember what they were told."""

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
from support.power_cut.observations import Witness

CREATORS = 4
CONFIG = """
[store]
segment_mib = 1
[local]
max_sandboxes = 3
[log]
level = "warning"
"""
FINAL = "complete,failed,retried,canceled"
RECORDER = """
import os, time

class Flaky(Exception): pass

def handler(event, context):
    if "data" not in event:
        return {"statusCode": 200, "body": '"here"'}
    ledger = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_APPEND)
    os.write(ledger, f"{event['id']} {time.monotonic_ns()}\\n".encode())  # one write: whole or not at all
    os.close(ledger)
    if event["data"].get("fails") and not event.get("retryForTaskIds"):
        raise Flaky("once")
"""


class Workday:
    """Everything random comes from ``rng``; what becomes known goes to ``witness``."""

    def __init__(self, daemon: DaemonProcess, ledger: Path, witness: Witness, rng: random.Random) -> None:
        self.codes: dict[str, bytes] = {}
        """The zip of every version that was ever deployed."""
        self.bodies: dict[str, dict[str, Any]] = {}
        """What was asked for in each creation, by its key."""
        self._daemon = daemon
        self._ledger = ledger
        self._witness = witness
        self._rng = rng
        self._keys = itertools.count()
        self._versions = itertools.count()
        self._deployed = False
        ledger.touch()

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """All clients work meanwhile, also while the daemon is down."""
        jobs = [*[self._create] * CREATORS, self._deploy, self._schedule, self._call, self._look]
        async with ClientSession(timeout=ClientTimeout(total=30)) as self._session:
            await self._deploy()
            clients = [asyncio.create_task(self._again_and_again(job)) for job in jobs]
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
        rows = (line.split() for line in self._ledger.read_text().splitlines())
        return [(task_id, int(time_ns)) for task_id, time_ns in rows]

    def note_runs(self) -> None:
        """Tells the witness what the functions wrote down."""
        for task_id, time_ns in self.runs():
            self._witness.note("run", task_id, time_ns=time_ns)

    async def _again_and_again(self, job: Callable[[], Awaitable[None]]) -> None:
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
        body: dict[str, Any] = {"functionName": "recorder", "data": data}
        called_off = rng.random() < 0.2
        if called_off:
            body["startTimestamp"] = time.time() * 1000 + 3_600_000
        self._witness.note("trying", key)
        self.bodies[key] = body
        task = await create_once(self._session, self._daemon.url, body)
        self._witness.note("creation", task["id"], key)
        if called_off:
            await self._request("POST", f"/{task['id']}/cancel")
            self._witness.note("cancelling", task["id"])

    async def _deploy(self) -> None:
        source = f"{RECORDER}\n# version {next(self._versions)}\n"
        code = zip_of({"index.py": source, "parts/nested/part.py": "x = 1\n" * self._rng.choice([1, 5_000])})
        version = hashlib.sha256(code).hexdigest()
        self.codes[version] = code
        fields = {"code": base64.b64encode(code).decode()}
        self._witness.note("deploying", "recorder", version)
        if self._deployed:
            await self._request("PUT", "/functions/recorder", fields)
        else:
            await self._request("POST", "/functions", {**self._definition(), **fields})
            self._deployed = True
        self._witness.note("deployment", "recorder", version)
        await asyncio.sleep(self._rng.random() * 0.5)

    def _definition(self) -> dict[str, Any]:
        """The function writes nothing below the data directory: sandboxes are not recorded."""
        return {
            "name": "recorder",
            "runtime": "python3.11",
            "entryPoint": "index.handler",
            "environmentVariables": {
                "LEDGER": {"value": str(self._ledger)},
                "PYTHONDONTWRITEBYTECODE": {"value": "1"},
            },
            "retryPolicy": {"enabled": True, "errorsToRetry": ["Flaky"]},
        }

    async def _schedule(self) -> None:
        made = await self._request("POST", "/schedules", {"functionName": "recorder", "interval": 1, "data": {}})
        self._witness.note("schedule", made["id"])
        await asyncio.sleep(self._rng.random())
        if self._rng.random() < 0.8:
            self._witness.note("unscheduling", made["id"])
            await self._request("DELETE", f"/schedules/{made['id']}")
            self._witness.note("removal", made["id"])

    async def _call(self) -> None:
        assert await self._request("GET", "/api/recorder/somewhere") == "here"

    async def _look(self) -> None:
        page = await self._request("GET", f"?in(status,{FINAL})&sort(-creationTimestamp)&limit(100)")
        for task in page["data"]:
            self._witness.note("end", task["id"], task["status"])


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
