"""Functions over HTTP after their creation: changed, enabled and disabled, also half-way and when that fails."""

import asyncio
import base64
import io
import json
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.functions.local_runtime import appears
from support.functions.zips import unix_entry
from support.http.error_shape import assert_error
from support.http.service import BASE, Service, function_body, http_service, zipped

from taskd.model.function import Function
from taskd.runtime.base import Invocation, Success
from taskd.runtime.local.runtime import LocalRuntime
from taskd.runtime.local.settings import LocalSettings

HELLO = f"{BASE}/functions/hello"
AFFECTED = {"affectedRecords": 1}
HOLD = """
import pathlib, time
def handler(event, context):
    pathlib.Path(event, "begun").write_text("yes\\n")
    while not pathlib.Path(event, "go").exists():
        time.sleep(0.005)
    return "first"
"""


def says(text: str) -> str:
    return zipped(index=f"def handler(event, context):\n    return {text!r}\n")


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with http_service(tmp_path) as running:
        async with running.client.post(f"{BASE}/functions", json=function_body(code=says("first"))) as response:
            assert response.status == 200, await response.text()
        yield running


async def update(service: Service, **fields: Any) -> None:
    async with service.client.put(HELLO, json=fields) as response:
        assert response.status == 200, await response.text()
        assert await response.json() == AFFECTED


async def refused(service: Service, code: int, /, **fields: Any) -> str:
    async with service.client.put(HELLO, json=fields) as response:
        return str((await assert_error(response, code))["message"])


async def called(runtime: LocalRuntime, event: object = None) -> Any:
    result = await runtime.invoke(Invocation("0" * 24, "hello", json.dumps(event).encode(), 30.0))
    assert isinstance(result, Success), result
    return json.loads(result.payload)


@asynccontextmanager
async def restarted(service: Service, directory: Path) -> AsyncIterator[LocalRuntime]:
    """A runtime that starts on what the first one left, as after a crash."""
    runtime = LocalRuntime(directory / "functions", LocalSettings())
    await runtime.start(service.store.functions())
    try:
        yield runtime
    finally:
        await runtime.stop()


def versions(directory: Path) -> list[str]:
    return sorted(path.name for path in (directory / "functions" / "hello").iterdir())


async def test_one_field_changes_and_all_others_stay(service: Service) -> None:
    before = await service.get("/functions/hello")
    await update(service, description="new")
    after = await service.get("/functions/hello")
    assert after.pop("updateTimestamp") >= before.pop("updateTimestamp")
    assert after == {**before, "description": "new"}


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        ({"timeLimit": 5, "memoryLimit": 256}, {"timeLimit": 5, "memoryLimit": 256}),
        ({"enabled": False}, {"enabled": False}),
        ({"environmentVariables": {"KEY": {"value": "v"}}}, {"environmentVariables": {"KEY": {"value": "v"}}}),
        (
            {"executionOptions": {"permissionMode": "public"}},
            {"executionOptions": {"permissionMode": "public", "defaultPriority": 0}},
        ),
        ({"retryPolicy": {"enabled": True}}, {"retryPolicy": {"enabled": True, "errorsToRetry": []}}),
        (
            {"retryPolicy": {"delays": [1, 0.5], "jitter": 0.25}},
            {"retryPolicy": {"enabled": False, "errorsToRetry": [], "delays": [1, 0.5], "jitter": 0.25}},
        ),
        ({"name": "hello", "entryPoint": "index.handler"}, {"name": "hello"}),
        ({}, {"description": ""}),
    ],
)
async def test_details_show_what_was_changed(service: Service, sent: dict[str, Any], seen: dict[str, Any]) -> None:
    await update(service, **sent)
    details = await service.get("/functions/hello")
    assert {name: details[name] for name in seen} == seen


async def test_environment_variables_are_replaced_as_a_whole(service: Service) -> None:
    await update(service, environmentVariables={"ONE": {"value": "1"}})
    await update(service, environmentVariables={"TWO": {"value": "2"}})
    assert (await service.get("/functions/hello"))["environmentVariables"] == {"TWO": {"value": "2"}}


async def test_null_changes_nothing(service: Service) -> None:
    await update(service, description="kept")
    await update(service, description=None, code=None, timeLimit=None)
    assert (await service.get("/functions/hello"))["description"] == "kept"
    assert await called(service.runtime) == "first"


@pytest.mark.parametrize(
    ("fields", "code", "named"),
    [
        ({"name": "other"}, 15, "hello"),
        ({"timeLimit": 301}, 15, "timeLimit"),
        ({"memoryLimit": 1}, 15, "memoryLimit"),
        ({"description": "x" * 257}, 15, "description"),
        ({"runtime": "cobol85"}, 15, "runtime"),
        ({"entryPoint": ""}, 15, "entryPoint"),
        ({"entryPoint": 7}, 15, "entryPoint"),
        ({"entryPoint": "elsewhere.handler"}, 1401, "elsewhere"),
        ({"environmentVariables": {"BIG": {"value": "x" * 4096}}}, 1402, "environmentVariables"),
        ({"code": ""}, 1401, "code"),
        ({"code": "no base64!"}, 1401, "code"),
        ({"code": "aGVsbG8="}, 1401, "zip"),
    ],
)
async def test_a_refused_change_leaves_all_as_it_was(
    service: Service, fields: dict[str, Any], code: int, named: str, tmp_path: Path
) -> None:
    before, unpacked = await service.get("/functions/hello"), versions(tmp_path)
    assert named in await refused(service, code, **fields)
    assert await service.get("/functions/hello") == before
    assert versions(tmp_path) == unpacked
    assert await called(service.runtime) == "first"


def escaping() -> dict[str, bytes]:
    return {"../../escaped.py": b"x"}


def absolute() -> dict[str, bytes]:
    return {"/tmp/taskd-escaped.py": b"x"}


def escaped(directory: Path) -> list[Path]:
    suspects = [Path("/tmp/taskd-escaped.py"), directory / "functions" / "fresh"]
    return [*directory.rglob("escaped.py"), *(path for path in suspects if path.exists())]


def bomb() -> dict[str, bytes]:
    return {f"zeros-{number}": bytes(64 << 20) for number in range(4)}


@pytest.mark.parametrize("entries", [escaping, absolute, bomb, dict])
async def test_hostile_zips_are_refused_for_new_and_for_known_functions(
    service: Service, tmp_path: Path, entries: Any
) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in entries().items():
            archive.writestr(unix_entry(name, 0o100644), content, zipfile.ZIP_DEFLATED)
    code = base64.b64encode(buffer.getvalue()).decode()
    await refused(service, 1401, code=code)
    async with service.client.post(f"{BASE}/functions", json=function_body(name="fresh", code=code)) as response:
        await assert_error(response, 1401)
    assert not escaped(tmp_path)
    assert await called(service.runtime) == "first"


async def test_a_running_call_finishes_on_its_code_and_the_next_one_runs_the_new(
    service: Service, tmp_path: Path
) -> None:
    await update(service, code=zipped(index=HOLD))
    running = asyncio.ensure_future(called(service.runtime, str(tmp_path)))
    await appears(tmp_path / "begun")
    await update(service, code=says("second"))
    assert await called(service.runtime) == "second"
    (tmp_path / "go").write_text("")
    assert await running == "first"


async def test_of_changes_at_the_same_time_none_is_lost(service: Service) -> None:
    await asyncio.gather(
        update(service, description="new"),
        update(service, timeLimit=7),
        update(service, code=says("second")),
        update(service, memoryLimit=200),
    )
    details = await service.get("/functions/hello")
    assert (details["description"], details["timeLimit"], details["memoryLimit"]) == ("new", 7, 200)
    assert await called(service.runtime) == "second"


async def test_an_update_that_cannot_be_deployed_brings_the_former_function_back(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, unpacked, deploy = await service.get("/functions/hello"), versions(tmp_path), service.runtime.deploy

    async def fail_on_the_new_one(function: Function) -> None:
        if function.description == "new":
            raise OSError("no room")
        await deploy(function)

    monkeypatch.setattr(service.runtime, "deploy", fail_on_the_new_one)
    await refused(service, 1, description="new", code=says("second"))
    assert await service.get("/functions/hello") == before
    assert versions(tmp_path) == unpacked
    assert await called(service.runtime) == "first"


async def test_a_crash_before_the_store_knows_leaves_the_former_code(service: Service, tmp_path: Path) -> None:
    [former] = service.store.functions()
    unpacked = versions(tmp_path)
    await service.runtime.prepare(former, base64.b64decode(says("second")))
    async with restarted(service, tmp_path) as runtime:
        assert await called(runtime) == "first"
        assert versions(tmp_path) == unpacked


async def test_a_crash_before_the_runtime_switches_ends_with_the_new_code(service: Service, tmp_path: Path) -> None:
    [former] = service.store.functions()
    prepared = await service.runtime.prepare(former, base64.b64decode(says("second")))
    await service.store.put_function(prepared, former)
    async with restarted(service, tmp_path) as runtime:
        assert await called(runtime) == "second"
        assert versions(tmp_path) == [prepared.code_version]


async def test_a_change_of_a_function_whose_code_is_lost_asks_for_the_code(service: Service, tmp_path: Path) -> None:
    (tmp_path / "functions" / "hello").rename(tmp_path / "lost")
    assert "send code" in await refused(service, 1401, description="new")
    async with service.client.post(f"{HELLO}/disable") as response:
        assert await response.json() == AFFECTED
    await update(service, code=says("second"))
    assert await called(service.runtime) == "second"


async def test_disabling_and_enabling_can_be_repeated(service: Service) -> None:
    for action, enabled in [("disable", False), ("disable", False), ("enable", True), ("enable/", True)]:
        async with service.client.post(f"{HELLO}/{action}", json={}) as response:
            assert await response.json() == AFFECTED
        assert (await service.get("/functions/hello"))["enabled"] is enabled


async def test_what_is_not_known_cannot_be_changed(service: Service) -> None:
    unknown = f"{BASE}/functions/nobody"
    async with service.client.put(unknown, json={"code": says("x")}) as response:
        await assert_error(response, 16)
    for action in ("enable", "disable"):
        async with service.client.post(f"{unknown}/{action}") as response:
            await assert_error(response, 16)


async def test_an_update_needs_a_body(service: Service) -> None:
    async with service.client.put(HELLO) as response:
        await assert_error(response, 13)
    async with service.client.put(HELLO, data=b"[]") as response:
        await assert_error(response, 22)


async def test_how_long_is_kept_changes_as_a_whole(service: Service) -> None:
    for given, shown in (
        ({"complete": 86400, "apiRequests": 60.5}, {"complete": 86400, "apiRequests": 60.5}),
        (None, {"complete": 86400, "apiRequests": 60.5}),
        ({"logs": 60}, {"logs": 60}),
        ({}, None),
    ):
        await update(service, executionOptions={"retention": given})
        assert (await service.get("/functions/hello"))["executionOptions"].get("retention") == shown


@pytest.mark.parametrize("given", [{"complete": 59}, {"logs": 1e12}, {"failed": "1d"}, {"apiRequests": -1}, [], 60])
async def test_a_time_to_keep_that_makes_no_sense_is_refused(service: Service, given: object) -> None:
    message = await refused(service, 15, executionOptions={"retention": given})
    assert "executionOptions" in message
