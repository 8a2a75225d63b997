"""Nothing that a function started goes on: not past its time limit, and not when the daemon is killed outright."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest
from support.functions.local_runtime import appears, eventually, failure_of, is_alive, local_harness
from support.functions.zips import python_zip

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

DAEMON = """
import asyncio, pathlib, sys
from support.functions.local_runtime import local_harness

async def main(directory, code):
    async with local_harness(pathlib.Path(directory)) as harness:
        await harness.deploy(pathlib.Path(code).read_bytes())
        harness.call()
        print(harness.runtime._launcher._process.pid, flush=True)
        await asyncio.sleep(600)

asyncio.run(main(*sys.argv[1:]))
"""
FUNCTION = """
    import os, pathlib, subprocess, time
    def handler(event, context):
        child = subprocess.Popen(["sleep", "600"])
        daemon = subprocess.Popen(["setsid", "--fork", "sh", "-c", "echo $$ > $TMPDIR/daemon; sleep 600 & wait"])
        daemon.wait()
        own = pathlib.Path(os.environ["TMPDIR"], "daemon")
        while not own.exists() or not own.read_text().endswith("\\n"):
            time.sleep(0.01)
        pathlib.Path({directory!r}, "begun").write_text(f"{{os.getpid()}} {{child.pid}} {{own.read_text().strip()}}\\n")
        while True:
            pass
    """


async def ended(process: int) -> None:
    await eventually(lambda: not is_alive(process))


async def test_no_function_nor_a_daemon_of_its_own_outlives_a_daemon_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "code.zip").write_bytes(python_zip(FUNCTION.format(directory=str(tmp_path))))
    daemon = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", DAEMON, str(tmp_path / "functions"), str(tmp_path / "code.zip")),
        stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert daemon.stdout is not None
    launcher = int(await daemon.stdout.readline())
    function, child, own = map(int, (await appears(tmp_path / "begun")).split())
    daemon.send_signal(signal.SIGKILL)
    await daemon.communicate()
    for process in (function, child, own, launcher):
        await ended(process)


async def test_a_daemon_that_a_function_starts_is_killed_at_its_time_limit(tmp_path: Path) -> None:
    async with local_harness(tmp_path / "functions") as harness:
        await harness.deploy_python(FUNCTION.format(directory=str(tmp_path)), time_limit_s=2)
        result = await harness.call()
        assert failure_of(result).name == "Sandbox.Timedout"
        for process in map(int, (await appears(tmp_path / "begun")).split()):
            await ended(process)


async def test_a_launcher_that_is_killed_is_replaced_and_its_sandboxes_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskd.runtime.local.launcher._RESTART_PAUSE_S", 0.01)
    source = "import os\ndef handler(event, context): return os.getpid()"
    async with local_harness(tmp_path) as harness:
        await harness.deploy_python(source)
        sandbox = await harness.value()
        launcher = harness.runtime._launcher
        first = launcher._process
        assert first is not None
        first.kill()
        await eventually(lambda: launcher._process is not first and launcher._connection is not None)
        assert await harness.value() == sandbox
        await harness.deploy_python(source, name="other")
        other = await harness.value(name="other")
    for process in (sandbox, other):
        await ended(process)


async def test_the_launcher_gets_none_of_the_daemons_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TASKD_TOKEN", "AWS_SECRET_ACCESS_KEY", "NOTIFY_SOCKET", "LD_DEBUG_OUTPUT"):
        monkeypatch.setenv(name, "/secret")
    async with local_harness(tmp_path / "functions") as harness:
        launcher = harness.runtime._launcher._process
        assert launcher is not None
        environment = environment_of(launcher.pid)
        assert "PATH" in environment
        assert "/secret" not in environment.values()


def environment_of(process: int) -> dict[str, str]:
    variables = Path(f"/proc/{process}/environ").read_text().split("\0")
    return dict(variable.split("=", 1) for variable in variables if variable)
