"""A machine that refuses the system calls that taskd can do without: it works as ever, and says so once for each."""

import base64
import platform
import shutil
import sys
from pathlib import Path

import pytest
from support.daemon.process import Api, DaemonProcess, api_of
from support.daemon.refused_calls import OPTIONAL, program
from support.functions.zips import node_zip, python_zip

from taskd.system import os_limits
from taskd.system.os_limits import attempt

CODES = {
    "python3.11": python_zip("def handler(task, context):\n    return {}\n"),
    "nodejs20.x": node_zip("exports.handler = async () => ({});\n"),
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        sys.platform != "linux" or platform.machine() not in OPTIONAL,
        reason="no filter of system calls for this machine",
    ),
]


def refusing_daemon(folder: Path, *calls: str) -> DaemonProcess:
    return DaemonProcess(folder, program=program(*calls))


async def run_function(api: Api, runtime: str) -> None:
    name = runtime.partition(".")[0]
    code = base64.b64encode(CODES[runtime]).decode()
    await api.call(
        "POST", "/functions", {"name": name, "runtime": runtime, "entryPoint": "index.handler", "code": code}
    )
    task = await api.create(name, data={"n": 7})
    assert (await api.wait_until_final(task["id"]))["status"] == "complete"


@pytest.mark.parametrize("listing", ["", "?data.n=7", "?priority<1", "?sort(-priority)", "?like(functionName,yth)"])
async def test_every_listing_is_answered_without_a_lower_priority(tmp_path: Path, listing: str) -> None:
    daemon = refusing_daemon(tmp_path, "setpriority")
    await daemon.start()
    async with api_of(daemon) as api:
        await run_function(api, "python3.11")
        for _ in range(2):
            assert (await api.call("GET", listing))["page"]["total"] == 1
    assert await daemon.stop() == 0
    assert daemon.log.read_text().count("lower the priority") == bool(listing)


@pytest.mark.parametrize("runtime", CODES)
async def test_without_any_optional_call_tasks_run_and_are_found(tmp_path: Path, runtime: str) -> None:
    if runtime.startswith("nodejs") and shutil.which("node") is None:
        pytest.skip("node is not installed")
    daemon = refusing_daemon(tmp_path, *OPTIONAL[platform.machine()])
    await daemon.start()
    async with api_of(daemon) as api:
        await run_function(api, runtime)
        assert (await api.call("GET", "?data.n=7"))["page"]["total"] == 1
        assert (await api.call("GET", "/apiRequests?sort(-timestamp)"))["page"]["total"] == 0
    assert await daemon.stop() == 0
    said = daemon.log.read_text()
    assert "Traceback" not in said
    for refused in ("have more open files", "lower the priority", "yield the processor", "keep its memory"):
        assert said.count(refused) == 1, said
    assert "not confined by subreapers: what a function starts may live on after it" in said


def test_what_is_refused_is_told_once_for_each_thing(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os_limits, "_refused", set())

    def refused() -> None:
        raise PermissionError(1, "Operation not permitted")

    assert not any(attempt(what, refused) for what in ("fly", "swim", "fly"))
    assert attempt("walk", lambda: None)
    assert [record.args[0] for record in caplog.records if isinstance(record.args, tuple)] == ["fly", "swim"]
