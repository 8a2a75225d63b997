"""What happens to a function that takes too long, too much memory, or dies."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.functions.local_runtime import (
    LocalRuntimeHarness,
    appears,
    eventually,
    failure_of,
    is_alive,
    local_harness,
    messages,
    open_descriptors,
    success_of,
)
from support.functions.zips import node_zip

from taskd.model.limits import MIB
from taskd.runtime.base import FunctionError, OutcomeUnknown, Success


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[LocalRuntimeHarness]:
    async with local_harness(tmp_path / "functions", max_sandboxes=2) as harness:
        yield harness


async def test_a_call_past_its_time_limit_is_killed_in_lambdas_words(harness: LocalRuntimeHarness) -> None:
    await harness.deploy_python(
        "import time\ndef handler(event, context):\n    print('begun')\n    time.sleep(event)\n    return 'in time'",
        time_limit_s=1,
    )
    result = await harness.call(60)
    assert isinstance(result, FunctionError)
    assert result.name == "Sandbox.Timedout"
    assert re.fullmatch(r"RequestId: [0-9a-f-]{36} Error: Task timed out after 1\.00 seconds", result.message)
    assert messages(result) == ["begun"]
    assert await harness.value(0) == "in time"


async def test_the_time_limit_covers_loading_the_function(harness: LocalRuntimeHarness) -> None:
    await harness.deploy_python("import time\ntime.sleep(60)\ndef handler(event, context): pass", time_limit_s=1)
    assert failure_of(await harness.call()).name == "Sandbox.Timedout"


async def test_a_function_that_ignores_signals_and_has_children_is_killed_with_them(
    harness: LocalRuntimeHarness,
) -> None:
    await harness.deploy_python(
        """
        import signal, subprocess, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        def handler(event, context):
            child = subprocess.Popen(["sh", "-c", "trap '' TERM HUP; echo $$; sleep 600 & wait"])
            time.sleep(600)
        """,
        time_limit_s=1,
    )
    result = failure_of(await harness.call())
    assert result.name == "Sandbox.Timedout"
    (child,) = messages(result)
    await harness.runtime.stop()
    assert not is_alive(int(child))


async def test_a_function_over_its_memory_limit_is_killed(harness: LocalRuntimeHarness) -> None:
    await harness.deploy_python(
        """
        import time
        def handler(event, context):
            kept = [b"x" * (1 << 20) for _ in range(event)]
            time.sleep(600 if event > 128 else 0)
            return len(kept)
        """
    )
    result = await harness.call(300)
    assert isinstance(result, FunctionError)
    assert result.name == "Runtime.OutOfMemory"
    assert result.message.endswith("Error: Runtime exited with error: signal: killed")
    assert await harness.value(20) == 20


HOG = "import time; kept = b'x' * (200 << 20); time.sleep(600)"
FORKS_AWAY = f"import os; os.fork() and os._exit(0); os.setsid(); os.fork() and os._exit(0); {HOG}"


@pytest.mark.parametrize(("hog", "apart"), [(HOG, False), (HOG, True), (FORKS_AWAY, True)])
async def test_memory_of_a_functions_children_counts_too(harness: LocalRuntimeHarness, hog: str, apart: bool) -> None:
    await harness.deploy_python(f"""
        import subprocess, sys, time
        def handler(event, context):
            subprocess.run([sys.executable, "-c", {hog!r}], start_new_session={apart})
            time.sleep(600)
        """)
    assert failure_of(await harness.call()).name == "Runtime.OutOfMemory"


async def test_address_space_does_not_count(harness: LocalRuntimeHarness) -> None:
    await harness.deploy_python(f"""
        import mmap
        def handler(event, context):
            with mmap.mmap(-1, {4096 * MIB}):
                return "reserved"
        """)
    assert await harness.value() == "reserved"


@pytest.mark.parametrize(
    ("way_out", "reason"),
    [
        ("os._exit(1)", "Runtime exited with error: exit status 1"),
        ("os._exit(0)", "Runtime exited without providing a reason"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "Runtime exited with error: signal: killed"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "Runtime exited with error: signal: segmentation fault"),
    ],
)
async def test_a_function_that_dies_fails_its_own_call_in_lambdas_words(
    harness: LocalRuntimeHarness, way_out: str, reason: str
) -> None:
    await harness.deploy_python(f"""
        import os, signal
        def handler(event, context):
            print("last words")
            if event: {way_out}
            return "fine"
        """)
    result = await harness.call(1)
    assert isinstance(result, FunctionError)
    assert result.name == "Runtime.ExitError"
    assert re.fullmatch(rf"RequestId: [0-9a-f-]{{36}} Error: {reason}", result.message)
    assert messages(result) == ["last words"]
    assert await harness.value(0) == "fine"


async def test_a_death_leaves_the_calls_of_other_sandboxes_alone(harness: LocalRuntimeHarness) -> None:
    await harness.deploy_python("""
        import os, time
        def handler(event, context):
            if event == "die": os._exit(1)
            time.sleep(0.3)
            return "survived"
        """)
    survivor, victim = harness.call("live"), harness.call("die")
    assert failure_of(await victim).name == "Runtime.ExitError"
    assert success_of(await survivor).payload == b'"survived"'


async def test_a_sandbox_that_dies_in_its_sleep_is_replaced(harness: LocalRuntimeHarness) -> None:
    await harness.deploy_python("""
        import os, threading
        def handler(event, context):
            if event: threading.Timer(0.02, os._exit, [9]).start()
            return os.getpid()
        """)
    doomed = await harness.value(1)
    await eventually(lambda: not harness.runtime._pool._sandboxes)
    assert not is_alive(doomed)
    assert await harness.value(0) != doomed


async def test_stopping_leaves_running_calls_with_an_unknown_outcome_and_nothing_behind(tmp_path: Path) -> None:
    async with local_harness(tmp_path / "functions") as harness:
        await harness.deploy_python(f"""
            import os, pathlib, time
            def handler(event, context):
                pathlib.Path({str(tmp_path)!r}, "begun").write_text(f"{{os.getpid()}}\\n")
                time.sleep(600)
            """)
        running = harness.call()
        process = int(await appears(tmp_path / "begun"))
        await harness.runtime.stop()
        assert isinstance(await running, OutcomeUnknown)
        assert not is_alive(process)
        assert harness.scratch() == []


async def test_stopping_while_a_sandbox_is_being_started_ends_it(tmp_path: Path) -> None:
    async with local_harness(tmp_path) as harness:
        await harness.deploy_python("def handler(event, context): return 1")
        call = harness.call()
        await harness.runtime.stop()
        assert isinstance(await call, OutcomeUnknown)


async def test_a_caller_that_goes_away_does_not_disturb_the_call(harness: LocalRuntimeHarness, tmp_path: Path) -> None:
    await harness.deploy_python(f"""
        import pathlib
        def handler(event, context):
            pathlib.Path({str(tmp_path)!r}, "ran").touch()
            return 1
        """)
    harness.call().cancel()
    assert await harness.value() == 1
    await eventually((tmp_path / "ran").exists)


async def test_an_environment_that_no_process_can_have_fails_the_call(harness: LocalRuntimeHarness) -> None:
    await harness.deploy_python("def handler(event, context): return 1", environment={"BAD": "a\0b"})
    assert failure_of(await harness.call()).name == "InvalidParameterValueException"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_a_crowd_of_calls_leaves_no_process_file_or_directory_behind(tmp_path: Path) -> None:
    async with local_harness(tmp_path):
        pass  # what the event loop itself opens with the first child stays open
    before = open_descriptors()
    async with local_harness(tmp_path, max_sandboxes=3) as harness:
        await harness.deploy_python("def handler(event, context): return event / (event % 3)")
        await harness.deploy(node_zip("exports.handler = async (event) => event;"), name="node", runtime="nodejs20.x")
        calls = [harness.call(n, name) for n in range(60) for name in ("probe", "node")]
        results = await asyncio.gather(*calls)
        assert sum(isinstance(result, Success) for result in results) == 100
        assert len(harness.scratch()) <= 3
    assert open_descriptors() == before
    assert harness.scratch() == []
