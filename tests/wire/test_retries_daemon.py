"""Retries of a real daemon that is killed while they wait."""

import base64
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support.daemon.process import Api, api_of, running_daemon
from support.functions.zips import python_zip

from taskd.model.limits import RETRY_DELAYS_MS
from taskd.model.timestamps import parse_rfc3339

pytestmark = pytest.mark.slow

SECOND_TIME_LUCKY = """
import os, time

def handler(task, context):
    run_log = os.open(os.environ["RUN_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(run_log, (task["id"] + "\\n").encode())
    os.close(run_log)
    if "retryForTaskIds" not in task:
        time.sleep(task["data"]["seconds"])
        raise ConnectionError("the ward does not answer")
"""


async def deploy(api: Api, run_log: Path) -> None:
    body = {
        "name": "lucky",
        "runtime": "python3.11",
        "entryPoint": "index.handler",
        "code": base64.b64encode(python_zip(SECOND_TIME_LUCKY)).decode(),
        "timeLimit": 300,
        "environmentVariables": {"RUN_LOG": {"value": str(run_log)}},
        "retryPolicy": {"enabled": True, "errorsToRetry": ["ConnectionError", "zombieTaskCleaned"]},
    }
    await api.call("POST", "/functions", body)


def assert_linked(first: dict[str, Any], second: dict[str, Any], error_name: str) -> None:
    assert (first["status"], first["error"]["name"]) == ("retried", error_name)
    assert first["retriedByTaskId"] == second["id"]
    assert second["retryForTaskIds"] == [first["id"]]
    ended_ms, start_ms = parse_rfc3339(first["statusChangedTimestamp"]), parse_rfc3339(second["startTimestamp"])
    assert ended_ms is not None
    assert start_ms is not None
    # counted from when the outcome was decided, a moment before it was written down
    assert 0 <= ended_ms + RETRY_DELAYS_MS[0] - start_ms < 1000


async def test_retries_go_on_after_a_crash_in_the_middle_of_their_delay(tmp_path: Path) -> None:
    """One task has failed and waits for its retry, another one runs, when the daemon is killed."""
    run_log = tmp_path / "run-log"
    async with running_daemon(tmp_path) as daemon, api_of(daemon) as api:
        await deploy(api, run_log)
        running = await api.create("lucky", data={"seconds": 60})
        await api.wait_for(running["id"], lambda task: task["status"] == "inProgress")
        failing = await api.create("lucky", data={"seconds": 0})
        retried = await api.wait_until_final(failing["id"])
        waiting = await api.get(retried["retriedByTaskId"])
        assert waiting["status"] == "new"
        await daemon.kill()
        await daemon.start()
        assert await api.get(failing["id"]) == retried
        second = await api.wait_until_final(waiting["id"])
        zombie = await api.wait_until_final(running["id"])
        third = await api.wait_until_final(zombie["retriedByTaskId"])
        assert len(await api.all_tasks()) == 4
        assert await daemon.stop() == 0
    assert_linked(retried, second, "ConnectionError")
    assert_linked(zombie, third, "zombieTaskCleaned")
    assert (second["status"], third["status"]) == ("complete", "complete")
    runs = Counter(run_log.read_text().split())
    assert runs.pop(running["id"], 1) == 1  # it may have been killed before it wrote
    assert runs == {failing["id"]: 1, second["id"]: 1, third["id"]: 1}
