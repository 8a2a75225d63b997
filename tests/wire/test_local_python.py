"""Python functions in real sandboxes: what they see, return, raise and print."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from support.functions.local_runtime import LocalRuntimeHarness, failure_of, local_harness, messages, success_of
from support.functions.zips import zip_of

from taskd.runtime.base import FunctionError, InvocationError, Success
from taskd.runtime.local.confinement.means import OF_THE_KERNEL, Means


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[LocalRuntimeHarness]:
    async with local_harness(tmp_path, max_sandboxes=2) as harness:
        yield harness


async def test_a_function_gets_its_event_and_returns_its_result(harness: LocalRuntimeHarness) -> None:
    await harness.deploy_python("def handler(event, context): return {'doubled': event['n'] * 2}")
    assert await harness.value({"n": 21}) == {"doubled": 42}


async def test_a_function_nobody_deployed_is_not_found(harness: LocalRuntimeHarness) -> None:
    result = await harness.call(name="ghost")
    assert result == InvocationError("ResourceNotFoundException", "Function not found: ghost")


async def test_an_event_of_the_largest_size_arrives_and_comes_back(harness: LocalRuntimeHarness) -> None:
    await harness.deploy_python("def handler(event, context): return event")
    event = "x" * (6 * 1024 * 1024 - 2)
    assert await harness.value(event) == event


async def test_an_exception_becomes_a_function_error_with_its_traceback_in_the_log(
    harness: LocalRuntimeHarness,
) -> None:
    await harness.deploy_python("""
        def handler(event, context):
            raise KeyError("patient")
        """)
    result = await harness.call()
    assert isinstance(result, FunctionError)
    assert (result.name, result.message) == ("KeyError", "'patient'")
    assert messages(result)[:2] == ["[ERROR] KeyError: 'patient'", "Traceback (most recent call last):"]
    assert not any("\r" in line or "\u00a0" in line for line in messages(result))


@pytest.mark.parametrize("chars", [10_000, 500_000, 2_000_000])
async def test_an_exception_with_a_long_message_is_still_the_functions_own(
    harness: LocalRuntimeHarness, chars: int
) -> None:
    await harness.deploy_python("""
        def handler(event, context):
            raise KeyError("x" * event)
        """)
    result = await harness.call(chars)
    assert isinstance(result, FunctionError)
    assert result.name == "KeyError"
    assert result.message.startswith("'xxx")


@pytest.mark.parametrize(
    ("files", "entry_point", "name", "message"),
    [
        ({"index.py": "import nosuch"}, "index.handler", "Runtime.ImportModuleError", "No module named 'nosuch'"),
        ({"index.py": "x = 1"}, "index.handler", "Runtime.HandlerNotFound", "'handler' missing on module 'index'"),
        ({"index.py": "def"}, "index.handler", "Runtime.UserCodeSyntaxError", "Syntax error in module 'index'"),
        ({"index.py": "1 / 0"}, "index.handler", "ZeroDivisionError", "division by zero"),
        ({"sys.py": ""}, "sys.handler", "Runtime.BuiltInModuleConflict", "built-in module sys"),
    ],
)
async def test_a_function_that_cannot_be_loaded_fails_each_call_in_lambdas_words(
    harness: LocalRuntimeHarness, files: dict[str, str], entry_point: str, name: str, message: str
) -> None:
    await harness.deploy(zip_of(files), entry_point=entry_point)
    for _ in range(3):
        result = failure_of(await harness.call())
        assert isinstance(result, FunctionError)
        assert result.name == name
        assert message in result.message


async def test_a_function_that_exits_while_it_is_loaded_fails_its_call(harness: LocalRuntimeHarness) -> None:
    await harness.deploy_python("import sys; print('so long'); sys.exit(3)")
    result = failure_of(await harness.call())
    assert result.name == "Runtime.ExitError"
    assert result.message.endswith("Error: Runtime exited with error: exit status 3")
    assert messages(result) == ["so long"]


async def test_a_handler_in_a_package_of_a_folder_is_found(harness: LocalRuntimeHarness) -> None:
    files = {"app/__init__.py": "", "app/api.py": "from app.rules import answer\ndef run(e, c): return answer"}
    await harness.deploy(zip_of({**files, "app/rules.py": "answer = 42"}), entry_point="app/api.run")
    assert await harness.value() == 42


async def test_the_environment_is_lambdas_and_nothing_of_the_daemons(
    harness: LocalRuntimeHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKD_SECRET", "do not leak")
    source = "import os\ndef handler(event, context): return dict(os.environ, cwd=os.getcwd())"
    version = (await harness.deploy_python(source, environment={"STAGE": "test", "_HANDLER": "forged"})).code_version
    environment = await harness.value()
    code = str(harness.directory / "probe" / version)
    expected = {
        "AWS_LAMBDA_FUNCTION_NAME": "probe",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.12",
        "AWS_REGION": "us-east-1",
        "LAMBDA_TASK_ROOT": code,
        "_HANDLER": "index.handler",
        "TZ": ":UTC",
        "STAGE": "test",
        "cwd": code,
    }
    assert environment.items() >= expected.items()
    assert not {"TASKD_SECRET", "PYTEST_CURRENT_TEST", "VIRTUAL_ENV"} & environment.keys()


LEAVES_A_NOTE = """
    import os, pathlib, tempfile
    def handler(event, context):
        note = pathlib.Path(tempfile.gettempdir(), "note")
        was_there = note.exists()
        note.write_text("x")
        return [os.environ["HOME"] == tempfile.gettempdir(), was_there]
    """


@pytest.mark.parametrize("means", [OF_THE_KERNEL, replace(OF_THE_KERNEL, own_mounts=False)])
async def test_home_and_tmp_are_a_writable_place_that_goes_with_the_sandbox(tmp_path: Path, means: Means) -> None:
    async with local_harness(tmp_path / "functions", means=means, max_sandboxes=1) as harness:
        for change in ("", "\n"):
            await harness.deploy_python(LEAVES_A_NOTE + change)
            assert await harness.value() == [True, False]
            assert await harness.value() == [True, True]
        await harness.runtime.stop()
        assert harness.scratch() == []


async def test_the_function_finds_its_own_modules_first_and_none_of_ours(harness: LocalRuntimeHarness) -> None:
    probe = """
        import settings
        def handler(event, context):
            try:
                import sandbox
            except ImportError:
                return settings.WHOSE
        """
    await harness.deploy(zip_of({"index.py": probe, "settings.py": "WHOSE = 'mine'"}))
    assert await harness.value() == "mine"


async def test_the_context_says_what_is_called_and_how_long_it_may_take(harness: LocalRuntimeHarness) -> None:
    await harness.deploy_python(
        """
        def handler(event, context):
            return {
                "name": context.function_name, "memory": context.memory_limit_in_mb, "id": context.aws_request_id,
                "arn": context.invoked_function_arn, "left": context.get_remaining_time_in_millis(),
            }
        """,
        time_limit_s=5,
        memory_limit_mb=256,
    )
    first, second = await harness.value(), await harness.value()
    assert (first["name"], first["memory"]) == ("probe", "256")
    assert first["arn"] == "arn:aws:lambda:us-east-1:000000000000:function:probe"
    assert 0 < first["left"] <= second["left"] <= 5000
    assert first["id"] != second["id"]


async def test_every_line_printed_before_the_handler_returned_is_in_the_result(harness: LocalRuntimeHarness) -> None:
    await harness.deploy_python("""
        import logging, os, sys
        print("loading")
        def handler(event, context):
            print("to stdout")
            print("to stderr", file=sys.stderr)
            os.write(1, b"raw \\xff")
            os.system("echo; echo from a child")
            for number in range(event):
                print("line", number)
        """)
    before = ["to stdout", "to stderr", "raw \ufffd", "from a child"]
    assert messages(await harness.call(1000)) == ["loading", *before, *(f"line {n}" for n in range(1000))]
    for count in range(20):
        assert messages(await harness.call(count)) == [*before, *(f"line {n}" for n in range(count))]


async def test_the_logging_module_prints_one_clean_line_a_record(harness: LocalRuntimeHarness) -> None:
    await harness.deploy_python("""
        import logging
        def handler(event, context):
            logging.getLogger().warning("careful")
        """)
    (line,) = messages(await harness.call())
    assert line.startswith("[WARNING]\t")
    assert line.endswith("\tcareful")


async def test_log_lines_carry_the_moment_they_were_printed(harness: LocalRuntimeHarness) -> None:
    await harness.deploy_python("""
        import time
        def handler(event, context):
            print("begin"); time.sleep(0.2); print("end")
        """)
    begin, end = success_of(await harness.call()).logs
    assert 150 < end.timestamp_ms - begin.timestamp_ms < 2000


async def test_a_flood_of_output_is_cut_and_the_call_goes_on(harness: LocalRuntimeHarness) -> None:
    await harness.deploy_python("""
        import sys
        def handler(event, context):
            for _ in range(64):
                sys.stdout.write("x" * (1 << 20))
            return "done"
        """)
    result = await harness.call()
    assert isinstance(result, Success)
    assert json.loads(result.payload) == "done"
    assert sum(len(line) for line in messages(result)) < 1024 * 1024 + 200
    assert "cut here" in messages(result)[-1]


async def test_what_is_returned_has_to_be_json(harness: LocalRuntimeHarness) -> None:
    await harness.deploy_python("def handler(event, context): return object()")
    result = failure_of(await harness.call())
    assert result.name == "Runtime.MarshalError"


async def test_bytes_that_are_not_json_come_back_as_a_json_string(harness: LocalRuntimeHarness) -> None:
    await harness.deploy_python("def handler(event, context): return b'plain \\xff text'")
    assert await harness.value() == "plain \ufffd text"
