"""The daemon as a process: how it starts, what it says to the service manager, how it stops."""

import asyncio
import base64
import signal
import socket
from pathlib import Path

import pytest
from aiohttp import ClientSession
from support.aws.lambda_server import running_lambda
from support.daemon.process import Api, DaemonProcess, api_of, running_daemon
from support.functions.zips import python_zip

GATE = """
import os, time

def handler(task, context):
    print("waiting at", os.environ["GATE"])
    while not os.path.exists(os.environ["GATE"]):
        time.sleep(0.01)
"""


async def deploy_gate(api: Api, gate: Path) -> None:
    """A function that ends when the file ``gate`` is there."""
    body = {
        "name": "gate",
        "runtime": "python3.11",
        "entryPoint": "index.handler",
        "code": base64.b64encode(python_zip(GATE)).decode(),
        "environmentVariables": {"GATE": {"value": str(gate)}},
    }
    await api.call("POST", "/functions", body)


async def start_gated_task(api: Api, gate: Path) -> str:
    await deploy_gate(api, gate)
    task = await api.create("gate")
    await api.wait_for(task["id"], lambda task: task["status"] == "inProgress")
    return str(task["id"])


async def health(daemon: DaemonProcess, status: str) -> None:
    """Returns when the daemon answers that its status is ``status``."""
    async with ClientSession() as session, asyncio.timeout(30):
        while True:
            async with session.get(f"{daemon.url}/health") as response:
                report = await response.json()
            if report["status"] == status:
                return
            await asyncio.sleep(0.01)


async def test_sigterm_waits_for_what_runs_and_goes_on_answering(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with running_daemon(tmp_path) as daemon, api_of(daemon) as api:
        running = await start_gated_task(api, gate)
        daemon.process.send_signal(signal.SIGTERM)
        await health(daemon, "stopping")
        waiting = await api.create("gate")
        assert (await api.get(running))["status"] == "inProgress"
        gate.touch()
        assert await daemon.process.wait() == 0
        await daemon.start()
        assert (await api.wait_until_final(running))["status"] == "complete"
        assert (await api.wait_until_final(waiting["id"]))["status"] == "complete"
        logs = await api.call("GET", f"/{running}/logs")
        assert [line["message"] for line in logs["data"]] == [f"waiting at {gate}"]


async def test_no_more_tasks_are_begun_than_sandboxes_can_run(tmp_path: Path) -> None:
    """A task that only waits for a sandbox is still new: it can be overtaken, and a crash does not make it a zombie."""
    gate = tmp_path / "gate"
    async with running_daemon(tmp_path, "[local]\nmax_sandboxes = 2\n") as daemon, api_of(daemon) as api:
        await deploy_gate(api, gate)
        ids = [(await api.create("gate"))["id"] for _ in range(5)]
        for task_id in ids[:2]:
            await api.wait_for(task_id, lambda task: task["status"] == "inProgress")
        await daemon.kill()
        await daemon.start()
        gate.touch()
        ended = [await api.wait_until_final(task_id) for task_id in ids]
        assert [task["status"] for task in ended] == ["failed"] * 2 + ["complete"] * 3


async def test_a_second_sigterm_cuts_the_waiting_short(tmp_path: Path) -> None:
    async with running_daemon(tmp_path) as daemon, api_of(daemon) as api:
        running = await start_gated_task(api, tmp_path / "never")
        daemon.process.send_signal(signal.SIGTERM)
        await health(daemon, "stopping")
        assert await daemon.stop() == 0
        await daemon.start()
        failed = await api.get(running)
        assert (failed["status"], failed["error"]["name"]) == ("failed", "zombieTaskCleaned")


async def test_the_grace_ends_by_itself(tmp_path: Path) -> None:
    async with running_daemon(tmp_path, "[dispatch]\ngrace_s = 0.2\n") as daemon, api_of(daemon) as api:
        running = await start_gated_task(api, tmp_path / "never")
        assert await daemon.stop() == 0
        await daemon.start()
        assert (await api.get(running))["error"]["name"] == "zombieTaskCleaned"


async def test_a_second_daemon_on_the_same_directory_is_refused(tmp_path: Path) -> None:
    async with running_daemon(tmp_path) as daemon:
        (tmp_path / "second").mkdir()
        second = DaemonProcess(tmp_path / "second")
        second.data = daemon.data
        with pytest.raises(AssertionError, match="did not start"):
            await second.start()
        assert await second.process.wait() == 1
        assert f"in use by another taskd (process {daemon.process.pid})" in second.log.read_text()


async def test_a_damaged_journal_stops_the_start_with_file_and_offset(tmp_path: Path) -> None:
    async with running_daemon(tmp_path) as daemon, api_of(daemon) as api:
        for _ in range(3):
            await api.create("f", startTimestamp="2999-01-01T00:00:00Z")
        await daemon.kill()
        [segment] = (daemon.data / "journal").glob("*.journal")
        damaged = bytearray(segment.read_bytes())
        damaged[60] ^= 1
        segment.write_bytes(damaged)
        with pytest.raises(AssertionError, match="did not start"):
            await daemon.start()
        assert await daemon.process.wait() == 1
        assert f"{segment} is damaged at byte 44" in daemon.log.read_text()
        assert segment.read_bytes() == damaged


async def test_a_torn_tail_is_cut_off_with_a_warning(tmp_path: Path) -> None:
    async with running_daemon(tmp_path) as daemon, api_of(daemon) as api:
        task = await api.create("f", startTimestamp="2999-01-01T00:00:00Z")
        await daemon.kill()
        [segment] = (daemon.data / "journal").glob("*.journal")
        segment.write_bytes(segment.read_bytes().rstrip(b"\0") + b"the beginning of a frame")
        await daemon.start()
        assert "cutting off 24 bytes" in daemon.log.read_text()
        assert (await api.get(task["id"]))["status"] == "new"


async def test_a_lost_catalogue_is_rebuilt_and_what_is_lost_is_said(tmp_path: Path) -> None:
    async with running_daemon(tmp_path) as daemon, api_of(daemon) as api:
        task = await api.create("f", startTimestamp="2999-01-01T00:00:00Z")
        failed = await api.wait_until_final((await api.create("unknown"))["id"])
        await daemon.kill()
        for path in daemon.data.glob("catalogue.db*"):
            path.unlink()
        await daemon.start()
        assert await api.get(task["id"]) == task
        assert await api.get(failed["id"]) == failed
        assert failed["error"]["name"] == "ResourceNotFoundException"


async def test_a_corrupt_catalogue_is_set_aside_and_rebuilt(tmp_path: Path) -> None:
    async with running_daemon(tmp_path) as daemon, api_of(daemon) as api:
        task = await api.create("f", startTimestamp="2999-01-01T00:00:00Z")
        await daemon.stop()
        (daemon.data / "catalogue.db").write_bytes(
            b"this is no database, but it is long enough to be taken for one" * 9
        )
        await daemon.start()
        assert await api.get(task["id"]) == task
        assert "a new one is built from the journal" in daemon.log.read_text()
        assert list(daemon.data.glob("catalogue.db.broken-*"))


async def test_the_service_manager_is_told_how_it_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        address = str(tmp_path / "notify")
        manager.bind(address)
        manager.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        monkeypatch.setenv("WATCHDOG_USEC", "400000")
        loop = asyncio.get_running_loop()
        received: list[str] = []

        async def receive(word: str) -> None:
            async with asyncio.timeout(30):
                while word not in received:
                    received.append((await loop.sock_recv(manager, 4096)).decode().partition("\n")[0])

        async with running_daemon(tmp_path) as daemon:
            await receive("READY=1")
            await receive("WATCHDOG=1")
            received.clear()
            await receive("STATUS=Running: 0 in flight, 0 due")
            daemon.process.send_signal(signal.SIGHUP)
            await receive("RELOADING=1")
            await receive("READY=1")
            daemon.process.send_signal(signal.SIGTERM)
            await receive("STOPPING=1")
            assert await daemon.process.wait() == 0


async def test_functions_still_run_after_a_restart(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    async with running_daemon(tmp_path) as daemon, api_of(daemon) as api:
        await deploy_gate(api, gate)
        await daemon.stop()
        await daemon.start()
        task = await api.create("gate")
        assert (await api.wait_until_final(task["id"]))["status"] == "complete"


async def test_functions_do_not_outlive_a_killed_daemon(tmp_path: Path) -> None:
    async with running_daemon(tmp_path) as daemon, api_of(daemon) as api:
        await start_gated_task(api, tmp_path / "never")
        sandboxes = children(daemon.process.pid)
        assert sandboxes
        await daemon.kill()
        async with asyncio.timeout(20):
            while any(is_running(pid) for pid in sandboxes):
                await asyncio.sleep(0.01)


def children(pid: int) -> list[int]:
    """The processes that ``pid`` started and that have not ended."""
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit() and parent(int(path.name)) == pid]


def parent(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_the_daemon_runs_functions_of_any_lambda_endpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not a secret")
    async with running_lambda() as server:
        config = f'runtime = "aws"\n[aws]\nregion = "eu-west-1"\nendpoint_url = "{server.url}"\n'
        async with running_daemon(tmp_path, config) as daemon, api_of(daemon) as api:
            done = await api.wait_until_final((await api.create("anything"))["id"])
            assert done["status"] == "complete"
            failed = await api.wait_until_final((await api.create("missing"))["id"])
            assert failed["error"]["name"] == "ResourceNotFoundException"
            assert await daemon.stop() == 0
