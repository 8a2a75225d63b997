"""A storm: clients that keep books, functions that record each run, and faults that strike at random.

Everything random comes from one seed, which failures name. ``python -m benchmarks.soak`` runs it for as long as wanted.
"""

import asyncio
import base64
import itertools
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from aiohttp import ClientError, ClientSession, ClientTimeout
from support.daemons import DaemonProcess
from support.zips import python_zip

CLIENTS = 8
CLIENT_PAUSE_S = 0.2
"""At most this long between two tasks of a client: about what four sandboxes get through."""
PAGE = 100
FINAL = {"complete", "failed", "retried", "canceled"}
RECORDER = """
import os, time

class Flaky(Exception): pass

def handler(task, context):
    ledger = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(ledger, (task["id"] + "\\n").encode())  # one write: whole or not at all
    os.close(ledger)
    time.sleep(task["data"]["ms"] / 1000)
    if task["data"]["fails"] and len(task.get("retryForTaskIds", [])) < 1:
        raise Flaky("once")
"""
CONFIG = """
[local]
max_sandboxes = 4
[log]
level = "warning"
[dispatch]
grace_s = 2
"""
UNAVAILABLE = (429, 503)

Task = dict[str, Any]


class Seen(NamedTuple):
    """What the service and its functions say at one moment: the runs before and after the listing."""

    runs_before: Counter[str]
    tasks: dict[str, Task]
    runs_after: Counter[str]


class Books:
    """What the clients were told, and what they saw; compared with what the service says."""

    def __init__(self) -> None:
        self.tries: Counter[str] = Counter()
        """Creations sent, by the key that the task carries in its data."""
        self.created: set[str] = set()
        """Tasks whose creation was acknowledged."""
        self.canceled: set[str] = set()
        self.ends: dict[str, str] = {}
        """Final statuses that were seen."""

    def compare(self, created: set[str], canceled: set[str], seen: Seen) -> None:
        """Asserts every promise; ``created`` and ``canceled`` were acknowledged before the listing began."""
        tasks = seen.tasks
        assert created <= set(tasks), f"acknowledged tasks are missing: {created - set(tasks)}"
        made = Counter(task["data"]["key"] for task in tasks.values() if "retryForTaskIds" not in task)
        assert all(made[key] <= self.tries[key] for key in made), "tasks were invented"
        twice = [task_id for task_id, runs in seen.runs_after.items() if runs > 1]
        assert not twice, f"tasks ran twice: {twice}"
        assert set(seen.runs_before) <= set(tasks), "something ran that is no task"
        not_canceled = [task_id for task_id in canceled if tasks[task_id]["status"] != "canceled"]
        assert not not_canceled, f"canceled tasks went on: {not_canceled}"
        for task_id, task in tasks.items():
            self._compare_one(task_id, task, seen)

    def _compare_one(self, task_id: str, task: Task, seen: Seen) -> None:
        status = task["status"]
        earlier = self.ends.get(task_id, status)
        assert earlier == status, f"{task_id} went from {earlier} to {status}"
        if status in FINAL:
            self.ends[task_id] = status
        if status in ("canceled", "new"):
            assert not seen.runs_before[task_id], f"{task_id} is {status} and has run"
        if status == "complete":
            assert seen.runs_after[task_id], f"{task_id} is complete and never ran"
        if "retriedByTaskId" in task and task["retriedByTaskId"] in seen.tasks:
            assert seen.tasks[task["retriedByTaskId"]]["retryForTaskIds"][-1] == task_id
        for retried in task.get("retryForTaskIds", [])[-1:]:
            assert seen.tasks[retried].get("retriedByTaskId") in (task_id, None)


class Storm:
    """A daemon, its clients and what befalls it."""

    def __init__(self, directory: Path, seed: int, config: str = CONFIG) -> None:
        self.daemon = DaemonProcess(directory, config)
        self.books = Books()
        self.struck: Counter[str] = Counter()
        self._rng = random.Random(seed)
        self.ledger = directory / "ledger"
        self._over = asyncio.Event()
        self._numbers = itertools.count()
        self.faults: list[Callable[[], Awaitable[None]]] = [self.kill, self._terminate, self._freeze, self._shoot]
        """Strike in turn."""

    async def run(self, strikes: int, pause_s: float = 0.5) -> None:
        """Clients work while ``strikes`` faults strike; after each, and at the end, the books are compared."""
        self.ledger.touch()
        await self.daemon.start()
        async with ClientSession(timeout=ClientTimeout(total=30)) as self._session:
            await self.deploy()
            async with self._working():
                for number in range(strikes):
                    await asyncio.sleep(self._rng.random() * pause_s)
                    await self.faults[number % len(self.faults)]()
                    await self.compare()
        assert await self.daemon.stop() == 0

    async def run_quietly(self, duration_s: float, measure: Callable[[], Awaitable[None]], interval_s: float) -> None:
        """Clients work undisturbed, and ``measure`` is called now and then: for leaks, which a restart would hide."""
        self.ledger.touch()
        await self.daemon.start()
        async with ClientSession(timeout=ClientTimeout(total=30)) as self._session:
            await self.deploy()
            ends_s = time.monotonic() + duration_s
            async with self._working():
                while time.monotonic() < ends_s:
                    await asyncio.sleep(interval_s)
                    await measure()
        assert await self.daemon.stop() == 0

    async def metrics(self) -> str:
        """The text of ``/metrics``."""
        async with self._session.get(f"{self.daemon.url}/metrics") as response:
            assert response.status == 200
            return await response.text()

    @asynccontextmanager
    async def _working(self) -> AsyncIterator[None]:
        """Clients work meanwhile; at the end all tasks come to theirs, and the books are compared."""
        clients = [asyncio.create_task(self._client()) for _ in range(CLIENTS)]
        try:
            yield
            self._over.set()
            await asyncio.gather(*clients)
        finally:
            for client in clients:
                client.cancel()
        tasks = await self._idle()
        await self.compare()
        assert any(task["status"] == "complete" for task in tasks.values()), "nothing ran at all"

    async def compare(self) -> None:
        """Asserts that the books and the service agree, while clients go on."""
        created, canceled = set(self.books.created), set(self.books.canceled)
        runs = self._runs()
        tasks = await self._all_tasks()
        self.books.compare(created, canceled, Seen(runs, tasks, self._runs()))

    async def _client(self) -> None:
        while not self._over.is_set():
            try:
                await self._one_task()
                await asyncio.sleep(self._rng.random() * CLIENT_PAUSE_S)
            except (ClientError, OSError, TimeoutError):  # the daemon is down
                await asyncio.sleep(0.02)

    async def _one_task(self) -> None:
        key = f"k{next(self._numbers)}"
        rng = self._rng
        data = {"key": key, "ms": rng.choice([0, 0, 5, 30]), "fails": rng.random() < 0.1}
        body: Task = {"functionName": "recorder", "data": data, "priority": rng.randrange(3)}
        called_off = rng.random() < 0.1
        if called_off:
            body["startTimestamp"] = time.time() * 1000 + rng.randrange(0, 500)
        self.books.tries[key] += 1
        status, task = await self._call("POST", "", body)
        if status != 200:
            assert status in UNAVAILABLE, task
            await asyncio.sleep(0.05)
            return
        self.books.created.add(task["id"])
        if called_off:
            status, answer = await self._call("POST", f"/{task['id']}/cancel")
            assert status in (200, 400, *UNAVAILABLE), answer
            if status == 200:
                self.books.canceled.add(task["id"])

    async def _call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        async with self._session.request(method, f"{self.daemon.url}/tasks/v1{path}", json=body) as response:
            return response.status, json.loads(await response.text())

    async def deploy(self) -> None:
        """Makes the function known."""
        body = {
            "name": "recorder",
            "runtime": "python3.11",
            "entryPoint": "index.handler",
            "code": base64.b64encode(python_zip(RECORDER)).decode(),
            "environmentVariables": {"LEDGER": {"value": str(self.ledger)}},
            "retryPolicy": {"enabled": True, "errorsToRetry": ["Flaky"]},
        }
        status, answer = await self._call("POST", "/functions", body)
        assert status == 200, answer

    async def _all_tasks(self) -> dict[str, Task]:
        found: dict[str, Task] = {}
        while True:
            status, page = await self._call("GET", f"?limit({PAGE},{len(found)})")
            assert status == 200, page
            found |= {task["id"]: task for task in page["data"]}
            if len(page["data"]) < PAGE:
                return found

    async def _idle(self) -> dict[str, Task]:
        """Every task, as soon as none waits or runs."""
        async with asyncio.timeout(120):
            while True:
                tasks = await self._all_tasks()
                if all(task["status"] in FINAL for task in tasks.values()):
                    return tasks
                await asyncio.sleep(0.1)

    def _runs(self) -> Counter[str]:
        return Counter(self.ledger.read_text().split())

    async def kill(self) -> None:
        """SIGKILL, and a new daemon on the same directory."""
        self.struck["SIGKILL"] += 1
        await self.daemon.kill()
        await self.daemon.start()

    async def _terminate(self) -> None:
        self.struck["SIGTERM"] += 1
        assert await self.daemon.stop() == 0
        await self.daemon.start()

    async def _freeze(self) -> None:
        self.struck["SIGSTOP"] += 1
        self.daemon.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(self._rng.choice([0.3, 1.0]))
        self.daemon.process.send_signal(signal.SIGCONT)

    async def _shoot(self) -> None:
        """Kills a process that runs functions."""
        self.struck["sandbox killed"] += 1
        sandboxes = [pid for pid in descendants(self.daemon.process.pid) if "awslambdaric" in command_line(pid)]
        for pid in sandboxes[:1]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def command_line(pid: int) -> str:
    """What a process was started as; nothing if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def descendants(pid: int) -> list[int]:
    """Every process below ``pid``."""
    try:
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return [*children, *(below for child in children for below in descendants(child))]
