"""The AWS runtime as the daemon uses it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from support.aws.environment import a_call, use_key
from support.aws.lambda_server import LambdaServer, running_lambda
from support.clocks import FakeClock

from taskd.model.errors import TaskdError
from taskd.model.function import Function
from taskd.runtime.aws.runtime import AwsRuntime
from taskd.runtime.aws.settings import AwsSettings
from taskd.runtime.base import OutcomeUnknown, Runtime, Success, Throttled

FUNCTION = Function("echo", "index.handler", "python3.12", update_ms=0, code_version="1")


@pytest.fixture(autouse=True)
def aws_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    use_key(monkeypatch, "AKID1")


@pytest.fixture
async def server() -> AsyncIterator[LambdaServer]:
    async with running_lambda() as server:
        yield server


@pytest.fixture
async def runtime(server: LambdaServer) -> AsyncIterator[Runtime]:
    runtime = AwsRuntime(AwsSettings(region="eu-west-1", endpoint_url=server.url), FakeClock())
    await runtime.start([FUNCTION])
    yield runtime
    await runtime.stop()


def signed_with(server: LambdaServer, key: str) -> bool:
    return f"Credential={key}/" in server.requests[-1].headers["authorization"]


async def test_a_function_is_invoked_by_its_name_whether_known_or_not(server: LambdaServer, runtime: Runtime) -> None:
    assert isinstance(await runtime.invoke(a_call("echo")), Success)
    assert isinstance(await runtime.invoke(a_call("never-heard-of")), Success)
    assert signed_with(server, "AKID1")


async def test_stopping_ends_what_runs_and_refuses_what_comes(server: LambdaServer, runtime: Runtime) -> None:
    running = runtime.invoke(a_call("silent"))
    await server.wait_for_requests(1)
    await runtime.stop()
    assert isinstance(await running, OutcomeUnknown)
    assert isinstance(await runtime.invoke(a_call("echo")), Throttled)
    await runtime.stop()


async def test_before_the_start_nothing_runs() -> None:
    runtime = AwsRuntime(AwsSettings())
    assert isinstance(await runtime.invoke(a_call("echo")), Throttled)
    runtime.reload()
    await runtime.stop()


async def test_without_credentials_the_start_fails(server: LambdaServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    runtime = AwsRuntime(AwsSettings(region="eu-west-1", endpoint_url=server.url))
    with pytest.raises(TaskdError, match="No AWS credentials"):
        await runtime.start([])
    await runtime.stop()


async def test_reloading_signs_with_the_credentials_of_now(
    server: LambdaServer, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    await runtime.invoke(a_call("echo"))
    assert signed_with(server, "AKID1")
    use_key(monkeypatch, "AKID2")
    runtime.reload()
    async with asyncio.timeout(5):
        while not signed_with(server, "AKID2"):
            await runtime.invoke(a_call("echo"))


async def test_expired_credentials_are_read_anew_at_once(
    server: LambdaServer, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_key(monkeypatch, "AKID2")
    assert isinstance(await runtime.invoke(a_call("expired")), Throttled)
    async with asyncio.timeout(5):
        while not signed_with(server, "AKID2"):
            await runtime.invoke(a_call("echo"))
