"""From a zip to a callable function, to the next version, to none."""

import asyncio
import errno
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace
from support.functions.local_runtime import LocalRuntimeHarness, appears, eventually, local_harness, success_of
from support.functions.zips import function, node_zip, python_zip, zip_of

from taskd.model.errors import INVALID_CODE, INVALID_CONFIGURATION, UNAVAILABLE, ContractError, ErrorKind
from taskd.runtime.base import InvocationError

SAYS = "def handler(event, context): return {!r}"
HOLD = """
    import os, pathlib, time
    def handler(event, context):
        pathlib.Path(event, "begun").write_text(f"{os.getpid()}\\n")
        while not pathlib.Path(event, "go").exists():
            time.sleep(0.005)
        return pathlib.Path(__file__).is_file()
    """


async def gone(harness: LocalRuntimeHarness, version: str, name: str = "probe") -> None:
    await eventually(lambda: version not in harness.versions(name))


async def test_what_is_prepared_is_not_called_before_it_is_deployed(tmp_path: Path) -> None:
    async with local_harness(tmp_path) as harness:
        await harness.deploy_python(SAYS.format("one"))
        two = await harness.runtime.prepare(function(), python_zip(SAYS.format("two")))
        assert await harness.value() == "one"
        await harness.runtime.deploy(two)
        assert await harness.value() == "two"


async def test_a_version_is_named_after_the_code(tmp_path: Path) -> None:
    async with local_harness(tmp_path) as harness:
        one = await harness.deploy_python(SAYS.format(1))
        again = await harness.deploy_python(SAYS.format(1))
        other = await harness.deploy_python(SAYS.format(2))
        assert one.code_version == again.code_version != other.code_version


async def test_the_old_version_goes_when_the_new_one_is_deployed(tmp_path: Path) -> None:
    async with local_harness(tmp_path) as harness:
        one = await harness.deploy_python(SAYS.format(1))
        await harness.value()
        two = await harness.deploy_python(SAYS.format(2))
        await gone(harness, one.code_version)
        assert harness.versions() == [two.code_version]


async def test_a_running_call_finishes_on_its_own_version(tmp_path: Path) -> None:
    async with local_harness(tmp_path / "functions") as harness:
        one = await harness.deploy_python(HOLD)
        running = harness.call(str(tmp_path))
        await appears(tmp_path / "begun")
        await harness.deploy_python(SAYS.format("two"))
        assert await harness.value() == "two"
        assert one.code_version in harness.versions()
        (tmp_path / "go").touch()
        assert success_of(await running).payload == b"true"
        await gone(harness, one.code_version)


async def test_going_back_to_a_version_that_still_runs_keeps_it(tmp_path: Path) -> None:
    async with local_harness(tmp_path / "functions") as harness:
        one = await harness.deploy_python(HOLD)
        running = harness.call(str(tmp_path))
        await appears(tmp_path / "begun")
        await harness.deploy_python(SAYS.format("two"))
        back = await harness.runtime.prepare(function(), python_zip(HOLD))
        (tmp_path / "go").touch()
        await running
        await harness.runtime.deploy(back)
        assert await harness.value(str(tmp_path)) is True
        assert harness.versions() == [one.code_version]


async def test_a_changed_configuration_applies_to_the_next_call(tmp_path: Path) -> None:
    async with local_harness(tmp_path) as harness:
        source = "import os\ndef handler(event, context): return [os.environ.get('STAGE'), context.memory_limit_in_mb]"
        deployed = await harness.deploy_python(source)
        assert await harness.value() == [None, "128"]
        await harness.runtime.deploy(replace(deployed, environment={"STAGE": "two"}, memory_limit_mb=256))
        assert await harness.value() == ["two", "256"]


async def test_a_change_that_sandboxes_cannot_notice_keeps_them_warm(tmp_path: Path) -> None:
    async with local_harness(tmp_path) as harness:
        deployed = await harness.deploy_python("import os\ndef handler(event, context): return os.getpid()")
        first = await harness.value()
        await harness.runtime.deploy(replace(deployed, description="better", update_ms=9, enabled=False))
        assert await harness.value() == first


async def test_a_removed_function_is_not_found_and_its_code_goes(tmp_path: Path) -> None:
    async with local_harness(tmp_path) as harness:
        deployed = await harness.deploy_python(SAYS.format(1))
        await harness.value()
        await harness.runtime.remove("probe")
        assert await harness.call() == InvocationError("ResourceNotFoundException", "Function not found: probe")
        await gone(harness, deployed.code_version)
        await harness.runtime.remove("probe")


async def test_functions_survive_a_restart(tmp_path: Path) -> None:
    async with local_harness(tmp_path) as harness:
        deployed = await harness.deploy_python(SAYS.format("still here"))
    async with local_harness(tmp_path, [deployed]) as harness:
        assert await harness.value() == "still here"


async def test_a_function_whose_code_is_gone_says_to_deploy_it_again(tmp_path: Path) -> None:
    lost = [function("lost", code_version="0" * 64), function("odd", code_version="../.."), function("empty")]
    async with local_harness(tmp_path, lost) as harness:
        for name in ("lost", "odd", "empty"):
            result = await harness.call(name=name)
            assert isinstance(result, InvocationError)
            assert "deploy the function again" in result.message
        await harness.deploy_python(SAYS.format("found"), name="lost")
        assert await harness.value(name="lost") == "found"


async def test_a_function_of_a_runtime_the_machine_lacks_fails_its_calls(tmp_path: Path) -> None:
    async with local_harness(tmp_path, [function("java", runtime="java21", code_version="0" * 64)]) as harness:
        result = await harness.call(name="java")
        assert isinstance(result, InvocationError)
        assert "java21" in result.message


async def test_starting_clears_away_what_no_function_is_deployed_with(tmp_path: Path) -> None:
    async with local_harness(tmp_path) as harness:
        kept = await harness.deploy_python(SAYS.format("kept"), name="kept")
        await harness.deploy_python(SAYS.format("old"), name="orphan")
        await harness.runtime.prepare(function("kept"), python_zip(SAYS.format("never deployed")))
        (tmp_path / ".work" / "unpack-half").mkdir()
    async with local_harness(tmp_path, [kept]) as harness:
        assert harness.versions("kept") == [kept.code_version]
        assert not (tmp_path / "orphan").exists()
        assert harness.scratch() == []
        assert await harness.value(name="kept") == "kept"


@pytest.mark.parametrize(
    ("code", "fields", "kind"),
    [
        (b"no zip", {}, INVALID_CODE),
        (python_zip("x"), {"entry_point": "main.handler"}, INVALID_CODE),
        (python_zip("x"), {"entry_point": "handler"}, INVALID_CONFIGURATION),
        (python_zip("x"), {"runtime": "ruby3.3"}, INVALID_CONFIGURATION),
    ],
)
async def test_code_that_is_refused_leaves_nothing_behind(
    tmp_path: Path, code: bytes, fields: dict[str, str], kind: ErrorKind
) -> None:
    async with local_harness(tmp_path) as harness:
        with pytest.raises(ContractError) as caught:
            await harness.runtime.prepare(function(**fields), code)
        assert caught.value.kind is kind
    assert harness.versions() == []
    assert harness.scratch() == []


async def test_code_that_the_disk_has_no_room_for_is_refused_for_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with local_harness(tmp_path) as harness:
        with monkeypatch.context() as disk:
            disk.setattr("os.fsync", full)
            with pytest.raises(ContractError, match="disk has no room") as caught:
                await harness.runtime.prepare(function(), python_zip(SAYS.format(1)))
        assert caught.value.kind is UNAVAILABLE
        assert harness.scratch() == []
        await harness.deploy_python(SAYS.format(1))
        assert await harness.value() == 1


async def test_code_refused_for_its_entry_point_stays_if_it_is_deployed_with_another(tmp_path: Path) -> None:
    async with local_harness(tmp_path) as harness:
        code = python_zip(SAYS.format(1))
        await harness.deploy(code)
        with pytest.raises(ContractError):
            await harness.runtime.prepare(function(entry_point="main.handler"), code)
        assert await harness.value() == 1


async def test_the_same_code_prepared_many_times_at_once_is_unpacked_whole(tmp_path: Path) -> None:
    async with local_harness(tmp_path) as harness:
        code = zip_of({"index.py": SAYS.format(1), **{f"lib/{n}.py": "pass" for n in range(50)}})
        prepared = await asyncio.gather(*(harness.runtime.prepare(function(), code) for _ in range(5)))
        assert len({one.code_version for one in prepared}) == 1
        await harness.runtime.deploy(prepared[0])
        assert await harness.value() == 1
        assert len(list((tmp_path / "probe" / prepared[0].code_version / "lib").iterdir())) == 50


async def test_deploying_while_calls_pour_in_loses_none(tmp_path: Path) -> None:
    async with local_harness(tmp_path, max_sandboxes=2) as harness:
        await harness.deploy_python(SAYS.format(0))
        calls = []
        for version in range(1, 6):
            calls += [harness.call() for _ in range(10)]
            await harness.deploy_python(SAYS.format(version))
        results = [int(success_of(await call).payload) for call in calls]
        assert len(results) == 50
        assert await harness.value() == 5


@pytest.mark.parametrize(
    ("runtime", "runs_on"),
    [
        ("python3.9", f"Python {platform.python_version()}"),
        ("python{}.{}".format(*sys.version_info[:2]), None),
        ("provided.al2023", None),
    ],
)
async def test_a_function_that_runs_on_another_version_than_it_asks_for_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, runtime: str, runs_on: str | None
) -> None:
    files = {"index.py": SAYS.format("hello"), "bootstrap": "#!/bin/sh\n"}
    async with local_harness(tmp_path, writable=()) as harness:
        await harness.deploy(zip_of(files, mode=0o755), runtime=runtime)
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert said == ([f"function probe asks for {runtime} and runs on {runs_on}"] if runs_on else [])


@pytest.fixture
def node_version() -> str:
    return subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()


async def test_node_functions_that_run_on_another_version_are_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, node_version: str
) -> None:
    ours = f"nodejs{node_version.removeprefix('v').partition('.')[0]}.x"
    async with local_harness(tmp_path, writable=()) as harness:
        for runtime in (ours, "nodejs12.x"):
            await harness.deploy(node_zip("exports.handler = async () => 1;"), runtime=runtime)
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert said == [f"function probe asks for nodejs12.x and runs on Node {node_version}"]
