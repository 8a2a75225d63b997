"""How many sandboxes there are, who gets one, and in which order."""

import asyncio
import json
import resource
from pathlib import Path

import pytest
from support.functions.local_runtime import appears, eventually, failure_of, local_harness, success_of

from taskd.runtime.base import InvocationError, Success, Throttled

WHO = "import os\ndef handler(event, context): return os.getpid()"
HOLD = """
    import os, pathlib, time
    def handler(event, context):
        pathlib.Path(event, "begun").write_text(f"{os.getpid()}\\n")
        while not pathlib.Path(event, "go").exists():
            time.sleep(0.005)
        return "held"
    """


async def test_one_sandbox_serves_calls_that_come_one_after_the_other(tmp_path: Path) -> None:
    async with local_harness(tmp_path) as harness:
        await harness.deploy_python(WHO)
        assert len({await harness.value() for _ in range(50)}) == 1


async def test_calls_that_come_together_run_together(tmp_path: Path) -> None:
    source = f"""
        import pathlib, time
        def handler(event, context):
            if event is None:
                return
            pathlib.Path({str(tmp_path)!r}, f"here{{event}}").touch()
            while len(list(pathlib.Path({str(tmp_path)!r}).glob("here*"))) < 3:
                time.sleep(0.002)
            return context.get_remaining_time_in_millis()
        """
    async with local_harness(tmp_path / "functions", max_sandboxes=3) as harness:
        await harness.deploy_python(source)
        await harness.value()
        results = await asyncio.gather(*(harness.call(n) for n in range(3)))
        assert all(isinstance(result, Success) for result in results)


async def test_never_more_sandboxes_than_allowed_over_all_functions(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    source = f"""
        import os, pathlib, time
        def handler(event, context):
            mark = pathlib.Path({str(marks)!r}, str(os.getpid()))
            mark.touch()
            time.sleep(0.02)
            alive = [int(mark.name) for mark in mark.parent.iterdir() if os.path.exists(f"/proc/{{mark.name}}")]
            return len(alive)
        """
    async with local_harness(tmp_path / "functions", max_sandboxes=3) as harness:
        for name in ("a", "b"):
            await harness.deploy_python(source, name=name)
        results = await asyncio.gather(*(harness.call(None, name) for _ in range(15) for name in ("a", "b")))
        assert max(json.loads(success_of(result).payload) for result in results) <= 3
        assert len(list(marks.iterdir())) < 12  # they do not take each other's sandboxes in turns


async def test_functions_that_start_slowly_do_not_take_each_others_sandbox_for_every_call(tmp_path: Path) -> None:
    source = f"import time\ntime.sleep(0.4)\n{WHO}"
    async with local_harness(tmp_path, max_sandboxes=1, queue_wait_s=60) as harness:
        for name in ("a", "b"):
            await harness.deploy_python(source, name=name)
        results = await asyncio.gather(*(harness.call(None, name) for _ in range(15) for name in ("a", "b")))
        assert len({success_of(result).payload for result in results}) <= 8  # it was one for each call


async def test_calls_of_one_function_wait_in_the_order_they_came(tmp_path: Path) -> None:
    async with local_harness(tmp_path, max_sandboxes=1) as harness:
        await harness.deploy_python("count = 0\ndef handler(event, context):\n global count; count += 1; return count")
        results = await asyncio.gather(*(harness.call() for _ in range(20)))
        assert [json.loads(success_of(result).payload) for result in results] == list(range(1, 21))


async def test_an_idle_sandbox_makes_room_for_another_function(tmp_path: Path) -> None:
    async with local_harness(tmp_path, max_sandboxes=1) as harness:
        for name in ("a", "b"):
            await harness.deploy_python(WHO, name=name)
        first = await harness.value(name="a")
        assert await harness.value(name="b") != first
        assert await harness.value(name="a") != first


async def test_the_sandbox_idle_longest_is_the_one_that_goes(tmp_path: Path) -> None:
    async with local_harness(tmp_path, max_sandboxes=2) as harness:
        for name in ("a", "b", "c"):
            await harness.deploy_python(WHO, name=name)
        await harness.value(name="a")
        kept = await harness.value(name="b")
        await harness.value(name="c")
        assert await harness.value(name="b") == kept


async def test_a_function_whose_calls_keep_coming_does_not_starve_another(tmp_path: Path) -> None:
    async with local_harness(tmp_path, max_sandboxes=1) as harness:
        await harness.deploy_python("import time\ndef handler(event, context): time.sleep(0.02)", name="greedy")
        await harness.deploy_python(WHO, name="patient")
        harness.call(None, "greedy")
        patient = harness.call(None, "patient")
        greedy = [harness.call(None, "greedy") for _ in range(100)]
        assert isinstance(await patient, Success)
        assert not greedy[-1].done()


async def test_a_call_that_no_sandbox_takes_in_time_is_throttled_and_has_not_run(tmp_path: Path) -> None:
    async with local_harness(tmp_path / "functions", max_sandboxes=1, queue_wait_s=0.1) as harness:
        await harness.deploy_python(HOLD)
        first = harness.call(str(tmp_path))
        await appears(tmp_path / "begun")
        (tmp_path / "begun").unlink()
        result = await harness.call(str(tmp_path))
        assert isinstance(result, Throttled)
        assert (result.overload, result.everything) == (True, False)
        assert "max_sandboxes" in result.reason
        (tmp_path / "go").touch()
        assert success_of(await first).payload == b'"held"'
        assert not (tmp_path / "begun").exists()


async def test_a_call_waits_no_longer_than_its_own_timeout(tmp_path: Path) -> None:
    async with local_harness(tmp_path / "functions", max_sandboxes=1) as harness:
        await harness.deploy_python(HOLD)
        harness.call(str(tmp_path))
        assert isinstance(await harness.call(str(tmp_path), timeout_s=0.05), Throttled)


async def test_waiting_does_not_count_against_the_time_limit(tmp_path: Path) -> None:
    async with local_harness(tmp_path, max_sandboxes=1) as harness:
        source = "import time\ndef handler(event, context): time.sleep(0.6); return 1"
        await harness.deploy_python(source, time_limit_s=1)
        assert all(isinstance(result, Success) for result in await asyncio.gather(harness.call(), harness.call()))


async def test_a_waiting_call_whose_caller_has_gone_is_not_run(tmp_path: Path) -> None:
    async with local_harness(tmp_path / "functions", max_sandboxes=1) as harness:
        await harness.deploy_python(HOLD)
        first = harness.call(str(tmp_path))
        await appears(tmp_path / "begun")
        (tmp_path / "begun").unlink()
        harness.call(str(tmp_path)).cancel()
        (tmp_path / "go").touch()
        await first
        assert not (tmp_path / "begun").exists()


async def test_a_call_that_waits_for_a_function_being_removed_is_not_found(tmp_path: Path) -> None:
    async with local_harness(tmp_path / "functions", max_sandboxes=1) as harness:
        await harness.deploy_python(HOLD)
        running, waiting = harness.call(str(tmp_path)), harness.call(str(tmp_path))
        await appears(tmp_path / "begun")
        await harness.runtime.remove("probe")
        assert isinstance(await waiting, InvocationError)
        (tmp_path / "go").touch()
        assert success_of(await running).payload == b'"held"'


async def test_a_sandbox_unused_for_long_ends(tmp_path: Path) -> None:
    async with local_harness(tmp_path, idle_expiry_s=0.1) as harness:
        await harness.deploy_python(WHO)
        first = await harness.value()
        await eventually(lambda: not harness.runtime._pool._sandboxes)
        assert await harness.value() != first


async def test_stopping_refuses_what_waits_and_what_comes_as_not_run(tmp_path: Path) -> None:
    async with local_harness(tmp_path / "functions", max_sandboxes=1) as harness:
        await harness.deploy_python(HOLD)
        harness.call(str(tmp_path))
        waiting = harness.call(str(tmp_path))
        await harness.runtime.stop()
        for call in (waiting, harness.call(str(tmp_path))):
            result = await call
            assert isinstance(result, Throttled)
            assert (result.everything, result.overload) == (True, False)
        await harness.runtime.stop()


async def test_a_machine_without_a_free_descriptor_throttles_instead_of_failing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with local_harness(tmp_path) as harness:
        await harness.deploy_python(WHO)

        def exhausted() -> None:
            raise OSError(24, "Too many open files")

        monkeypatch.setattr("os.pipe", exhausted)
        result = await harness.call()
        assert isinstance(result, Throttled)
        assert result.everything
        monkeypatch.undo()
        assert await harness.value()


@pytest.mark.parametrize("descriptors", range(4, 7))
async def test_a_launcher_without_a_free_descriptor_throttles_and_leaves_no_process(
    tmp_path: Path, descriptors: int
) -> None:
    async with local_harness(tmp_path / "functions") as harness:
        await harness.deploy_python(WHO)
        await harness.deploy_python(WHO, name="another")
        launcher = harness.runtime._launcher._process
        assert launcher is not None
        assert await harness.value(name="another")
        limit, most = resource.prlimit(launcher.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(launcher.pid, resource.RLIMIT_NOFILE, (descriptors, most))
        result = await harness.call()
        resource.prlimit(launcher.pid, resource.RLIMIT_NOFILE, (limit, most))
        assert isinstance(result, Throttled)
        assert result.everything
        await eventually(lambda: len(children(launcher.pid).split()) == 1)  # the supervisor of the other
        assert await harness.value()


async def test_calls_are_throttled_while_there_is_no_launcher(tmp_path: Path) -> None:
    async with local_harness(tmp_path / "functions") as harness:
        await harness.deploy_python(WHO)
        launcher = harness.runtime._launcher
        first = launcher._process
        assert first is not None
        first.kill()
        result = await harness.call()
        assert isinstance(result, Throttled)
        assert result.everything
        await eventually(lambda: launcher._process is not first and launcher._connection is not None)
        assert await harness.value()


def children(process: int) -> str:
    return Path(f"/proc/{process}/task/{process}/children").read_text()


@pytest.mark.parametrize("max_sandboxes", [1, 4])
async def test_a_function_that_never_loads_does_not_block_another(tmp_path: Path, max_sandboxes: int) -> None:
    async with local_harness(tmp_path, max_sandboxes=max_sandboxes) as harness:
        await harness.deploy_python("import nosuch", name="broken")
        await harness.deploy_python(WHO, name="works")
        broken = [harness.call(None, "broken") for _ in range(8)]
        assert await harness.value(name="works")
        assert {failure_of(await call).name for call in broken} == {"Runtime.ImportModuleError"}


@pytest.mark.parametrize("greedy", ["greedy", None])
async def test_whoever_has_no_sandbox_goes_before_whoever_has_many(tmp_path: Path, greedy: str | None) -> None:
    """The crowd is one caller's, or the queue's; the other came last."""
    places = [tmp_path / str(number) for number in range(6)]
    for place in places:
        place.mkdir()
    async with local_harness(tmp_path / "functions", max_sandboxes=2) as harness:
        await harness.deploy_python(HOLD)
        crowd = [harness.call(str(place), owner=greedy) for place in places[:5]]
        for place in places[:2]:
            await appears(place / "begun")
        modest = harness.call(str(places[5]), owner="modest")
        (places[0] / "go").touch()
        await appears(places[5] / "begun")
        assert not (places[2] / "begun").exists()
        for place in places:
            (place / "go").touch()
        assert all(isinstance(result, Success) for result in await asyncio.gather(*crowd, modest))
