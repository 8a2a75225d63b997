"""Schedules in a real daemon: on the grid, once each, also through a crash."""

import asyncio
import base64
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from support.daemon.process import Api, DaemonProcess, api_of, running_daemon
from support.functions.zips import python_zip

from taskd.model.time_zones import zone_data
from taskd.model.timestamps import parse_rfc3339

pytestmark = pytest.mark.slow

INTERVAL_MS = 100


async def deploy(api: Api) -> None:
    code = base64.b64encode(python_zip("def handler(task, context):\n    return task['scheduleId']\n")).decode()
    body = {"name": "tick", "runtime": "python3.11", "entryPoint": "index.handler", "code": code}
    await api.call("POST", "/functions", body)


async def more_than(api: Api, count: int) -> int:
    """How many tasks there are, as soon as there are more than ``count`` that have ended."""
    async with asyncio.timeout(60):
        while (ended := (await api.call("GET", "?in(status,complete,failed)&limit(1)"))["page"]["total"]) <= count:
            await asyncio.sleep(0.02)
    return int(ended)


def starts_ms(schedule: dict[str, Any], tasks: list[dict[str, Any]]) -> list[int]:
    """When the tasks were due, counted from the schedule's start."""
    begin_ms = parse_rfc3339(schedule["startTimestamp"]) or 0
    return [(parse_rfc3339(task["startTimestamp"]) or 0) - begin_ms for task in tasks]


async def metrics(daemon: DaemonProcess) -> str:
    async with ClientSession() as session, session.get(f"{daemon.url}/metrics") as response:
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/plain; version=")
        return await response.text()


async def test_a_schedule_lives_through_a_crash_and_no_occurrence_is_made_twice(tmp_path: Path) -> None:
    async with running_daemon(tmp_path) as daemon, api_of(daemon) as api:
        await deploy(api)
        fields = {"functionName": "tick", "interval": INTERVAL_MS / 1000, "data": {"n": 1}}
        schedule = await api.call("POST", "/schedules", fields)
        before = await more_than(api, 3)
        await daemon.kill()
        await asyncio.sleep(3 * INTERVAL_MS / 1000)  # an outage: there is nothing to wait for
        await daemon.start()
        await more_than(api, before + 3)
        counted = await metrics(daemon)
        await api.call("DELETE", f"/schedules/{schedule['id']}")
        await api.wait_until_idle()
        tasks = await api.all_tasks()
        assert await daemon.stop() == 0
    starts = starts_ms(schedule, tasks)
    assert starts == sorted(set(starts))
    assert all(start % INTERVAL_MS == 0 for start in starts)
    assert starts[0] == 0
    assert {task["scheduleId"] for task in tasks} == {schedule["id"]}
    assert {task["error"]["name"] for task in tasks if task["status"] != "complete"} <= {"zombieTaskCleaned"}
    assert "later occurrences were skipped" in daemon.log.read_text()
    assert "taskd_schedules_fired_total" in counted
    assert "taskd_tasks_ended_total" in counted


async def test_a_deleted_schedule_stays_deleted_after_a_crash(tmp_path: Path) -> None:
    async with running_daemon(tmp_path) as daemon, api_of(daemon) as api:
        fields = {"functionName": "absent", "interval": 60}
        schedule, other = [await api.call("POST", "/schedules", fields) for _ in range(2)]
        await api.call("DELETE", f"/schedules/{schedule['id']}")
        await daemon.kill()
        await daemon.start()
        page = await api.call("GET", "/schedules")
        assert [row["id"] for row in page["data"]] == [other["id"]]


async def test_a_schedule_that_may_not_overlap_never_does_over_a_kill(tmp_path: Path) -> None:
    source = "import time\ndef handler(task, context):\n    time.sleep(0.25)\n"
    code = base64.b64encode(python_zip(source)).decode()
    async with running_daemon(tmp_path) as daemon, api_of(daemon) as api:
        body = {"name": "slow", "runtime": "python3.11", "entryPoint": "index.handler", "code": code}
        await api.call("POST", "/functions", body)
        fields = {"functionName": "slow", "interval": INTERVAL_MS / 1000}
        made = [await api.call("POST", "/schedules", {**fields, "overlap": how}) for how in ("skip", "bufferOne")]
        before = await more_than(api, 4)
        await daemon.kill()
        await daemon.start()
        await more_than(api, before + 4)
        for schedule in made:
            await api.call("DELETE", f"/schedules/{schedule['id']}")
        await api.wait_until_idle()
        tasks = await api.all_tasks()
        assert await daemon.stop() == 0
    for schedule in made:
        own = sorted((task for task in tasks if task["scheduleId"] == schedule["id"]), key=lambda task: task["id"])
        assert len(own) > 2
        assert all(later["creationTimestamp"] >= task["updateTimestamp"] for task, later in pairwise(own))
        starts = starts_ms(schedule, own)
        assert starts == sorted(set(starts))
        assert all(start % INTERVAL_MS == 0 for start in starts)


async def test_health_says_whose_time_zones_are_used(tmp_path: Path) -> None:
    async with running_daemon(tmp_path) as daemon, ClientSession() as session:
        async with session.get(f"{daemon.url}/health") as response:
            health = await response.json()
        assert health["timeZones"] == zone_data()
        assert f"Time zones are those of {zone_data()}." in daemon.log.read_text()
