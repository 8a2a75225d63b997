"""The promise: nothing that was acknowledged is lost, and nothing runs twice, whenever the daemon dies."""

import asyncio
import base64
import random
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from aiohttp import ClientError
from support.daemon.process import Api, DaemonProcess, api_of, running_daemon
from support.functions.zips import python_zip

pytestmark = pytest.mark.slow

TASKS = 2_000
CLIENTS = 16
KILLS = 10
SEED = 20_26

RUN_LOGGER = """
import os, time


def handler(task, context):
    run_log = os.open(os.environ["RUN_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(run_log, (task["id"] + "\\n").encode())  # one write: whole or not at all
    os.close(run_log)
    time.sleep(task["data"]["ms"] / 1000)
    return task["id"]
"""
CONFIG = """
[local]
max_sandboxes = 4
[log]
level = "warning"
"""


async def deploy_run_logger(api: Api, run_log: Path) -> None:
    body = {
        "name": "run-logger",
        "runtime": "python3.11",
        "entryPoint": "index.handler",
        "code": base64.b64encode(python_zip(RUN_LOGGER)).decode(),
        "environmentVariables": {"RUN_LOG": {"value": str(run_log)}},
    }
    await api.call("POST", "/functions", body)


class CrashLoad:
    """Clients that create, and kills whenever so many creations have been acknowledged."""

    def __init__(self, daemon: DaemonProcess, api: Api, rng: random.Random) -> None:
        self.daemon = daemon
        self.api = api
        self.rng = rng
        self.acknowledged: list[str] = []
        self.progress = asyncio.Condition()
        self.up = asyncio.Event()
        self.up.set()

    async def create_many(self, creations: int) -> None:
        for number in range(creations):
            await self.create({"ms": self.rng.choice([0, 0, 0, 5, 20]), "n": number})

    async def create(self, data: dict[str, int]) -> None:
        """Tries until it is answered. A try that broke off may have created a task that nobody was told of."""
        while True:
            await self.up.wait()
            try:
                task = await self.api.create("run-logger", data=data, priority=self.rng.randrange(3))
            except (ClientError, OSError):
                continue
            async with self.progress:
                self.acknowledged.append(task["id"])
                self.progress.notify_all()
            return

    def has_acknowledged(self, count: int) -> bool:
        return len(self.acknowledged) >= count

    async def kill_repeatedly(self) -> None:
        for count in sorted(self.rng.sample(range(1, TASKS - 50), KILLS)):
            async with self.progress:
                await self.progress.wait_for(partial(self.has_acknowledged, count))
            await asyncio.sleep(self.rng.random() / 20)
            self.up.clear()
            await self.daemon.kill()
            await self.daemon.start()
            self.up.set()


async def test_nothing_is_lost_and_nothing_runs_twice_through_ten_kills(tmp_path: Path) -> None:
    run_log = tmp_path / "run-log"
    run_log.touch()
    async with running_daemon(tmp_path, CONFIG) as daemon, api_of(daemon) as api:
        await deploy_run_logger(api, run_log)
        load = CrashLoad(daemon, api, random.Random(SEED))
        await asyncio.gather(load.kill_repeatedly(), *(load.create_many(TASKS // CLIENTS) for _ in range(CLIENTS)))
        await api.wait_until_idle()
        tasks = {task["id"]: task for task in await api.all_tasks()}
        assert await daemon.stop() == 0
    runs = Counter(run_log.read_text().split())

    assert len(load.acknowledged) == TASKS
    assert set(load.acknowledged) <= set(tasks)
    # A creation that broke off is either there whole or not at all; at most one per client and kill.
    assert len(tasks) - TASKS <= CLIENTS * KILLS
    assert max(runs.values()) == 1
    assert set(runs) <= set(tasks)
    statuses = Counter(task["status"] for task in tasks.values())
    assert set(statuses) <= {"complete", "failed"}
    assert all(runs[task_id] == 1 for task_id, task in tasks.items() if task["status"] == "complete")
    failures = {task["error"]["name"] for task in tasks.values() if task["status"] == "failed"}
    assert failures == {"zombieTaskCleaned"}, "ten kills under load must have hit running tasks"


async def test_a_task_that_runs_when_the_daemon_dies_is_failed_as_a_zombie_and_not_run_again(tmp_path: Path) -> None:
    run_log = tmp_path / "run-log"
    run_log.touch()
    async with running_daemon(tmp_path, CONFIG) as daemon, api_of(daemon) as api:
        await deploy_run_logger(api, run_log)
        running = await api.create("run-logger", data={"ms": 60_000})
        await api.wait_for(running["id"], lambda task: task["status"] == "inProgress")
        waiting = await api.create("run-logger", data={"ms": 0}, startTimestamp="2999-01-01T00:00:00.000Z")
        await daemon.kill()
        await daemon.start()
        zombie = await api.wait_until_final(running["id"])
        assert zombie["status"] == "failed"
        assert zombie["error"]["type"] == "invocation"
        assert zombie["error"]["name"] == "zombieTaskCleaned"
        assert (await api.get(waiting["id"]))["status"] == "new"
        assert await daemon.stop() == 0
    assert run_log.read_text().split().count(running["id"]) <= 1
