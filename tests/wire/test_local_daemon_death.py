"""The process that runs the runtime is killed outright: nothing it started may go on."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest
from support.functions.local_runtime import appears, eventually, is_alive, local_harness
from support.functions.zips import python_zip

DAEMON = """
import asyncio, pathlib, sys
from support.functions.local_runtime import local_harness

async def main(directory, code):
    async with local_harness(pathlib.Path(directory)) as harness:
        await harness.deploy(pathlib.Path(code).read_bytes())
        harness.call()
        print(harness.runtime._orphan_killer._process.pid, flush=True)
        await asyncio.sleep(600)

asyncio.run(main(*sys.argv[1:]))
"""
FUNCTION = """
    import os, pathlib, subprocess, time
    def handler(event, context):
        child = subprocess.Popen(["sleep", "600"])
        pathlib.Path({directory!r}, "begun").write_text(f"{{os.getpid()}} {{child.pid}}\\n")
        while True:
            pass
    """


async def ended(process: int) -> None:
    await eventually(lambda: not is_alive(process))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_no_function_outlives_a_daemon_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "code.zip").write_bytes(python_zip(FUNCTION.format(directory=str(tmp_path))))
    daemon = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", DAEMON, str(tmp_path / "functions"), str(tmp_path / "code.zip")),
        stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert daemon.stdout is not None
    killer = int(await daemon.stdout.readline())
    function, child = map(int, (await appears(tmp_path / "begun")).split())
    daemon.send_signal(signal.SIGKILL)
    await daemon.communicate()
    for process in (function, child, killer):
        await ended(process)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_an_orphan_killer_that_is_killed_is_replaced_and_knows_of_every_sandbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskd.runtime.local.orphan_killer._RESTART_PAUSE_S", 0.01)
    async with local_harness(tmp_path) as harness:
        await harness.deploy_python("import os\ndef handler(event, context): return os.getpid()")
        sandbox = await harness.value()
        killer = harness.runtime._orphan_killer
        first = killer._process
        assert first is not None
        first.kill()
        await eventually(lambda: killer._process is not first and killer._pipe_fd is not None)
        killer._close_pipe()  # as the end of this process would
        await ended(sandbox)
