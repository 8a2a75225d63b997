"""Callers who wait for functions that run on Lambda."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from support.aws.environment import use_key
from support.aws.lambda_server import LambdaServer, answer, running_lambda

from taskd.execution.api_functions.call import ApiFunctions
from taskd.execution.api_functions.event import ApiCall
from taskd.execution.direct import DirectExecutions
from taskd.execution.settings import DispatchSettings
from taskd.execution.synchronous import SynchronousCalls
from taskd.model.errors import NOT_INVOKED, ContractError
from taskd.model.function import Function
from taskd.model.status import Status
from taskd.model.task import TaskDraft
from taskd.rql.parser import parse
from taskd.runtime.aws.runtime import AwsRuntime
from taskd.runtime.aws.settings import AwsSettings
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore
from taskd.telemetry.metrics import Telemetry

FUNCTION = Function("echo", "index.handler", "python3.12", update_ms=0, code_version="1")


@pytest.fixture
async def server() -> AsyncIterator[LambdaServer]:
    async with running_lambda() as server:
        yield server


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[EmbeddedStore]:
    store = EmbeddedStore(StoreSettings(data=str(tmp_path)))
    await store.start()
    yield store
    await store.stop()


@pytest.fixture
async def runtime(server: LambdaServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AwsRuntime]:
    use_key(monkeypatch, "AKID1")
    runtime = AwsRuntime(AwsSettings(region="eu-west-1", endpoint_url=server.url))
    await runtime.start([FUNCTION])
    yield runtime
    await runtime.stop()


def named(name: str) -> Function:
    return Function(name, "index.handler", "python3.12", update_ms=0, code_version="1")


async def test_a_direct_execution_gets_its_result_from_lambda(
    store: EmbeddedStore, runtime: AwsRuntime, server: LambdaServer
) -> None:
    executions = DirectExecutions(store, runtime, DispatchSettings(), SynchronousCalls())
    executed = await executions.execute(FUNCTION, TaskDraft("echo", b'{"n": 1}', start_ms=0, direct=True))
    assert executed.task.status is Status.COMPLETE
    event = json.loads(executed.result)
    assert (event["id"], event["status"], event["data"]) == (executed.task.id, "inProgress", {"n": 1})
    assert await store.find_logs(executed.task.id, 0, 0, 1)


async def test_a_throttled_execution_is_told_so_and_not_queued(store: EmbeddedStore, runtime: AwsRuntime) -> None:
    executions = DirectExecutions(store, runtime, DispatchSettings(), SynchronousCalls())
    with pytest.raises(ContractError, match="ConcurrentInvocationLimitExceeded") as raised:
        await executions.execute(
            named("account-concurrency"), TaskDraft("account-concurrency", b"{}", start_ms=0, direct=True)
        )
    assert raised.value.kind is NOT_INVOKED
    assert (await store.get(raised.value.extra["taskId"])).status is Status.FAILED


async def test_an_api_function_answers_from_lambda(
    store: EmbeddedStore, runtime: AwsRuntime, server: LambdaServer
) -> None:
    server.raw_answer = answer(200, b'{"statusCode": 201, "headers": {"X-A": "b"}, "body": "made"}')
    registry = CollectorRegistry()
    functions = ApiFunctions(store, runtime, DispatchSettings(), SynchronousCalls(), telemetry=Telemetry(registry))
    call = ApiCall(method="POST", path="/a", query="b=1", headers=[("X-C", "d")], body=b"text")
    answered = await functions.call(named("raw"), call)
    assert (answered.status, answered.headers["x-a"], answered.body) == (201, "b", b"made")
    event = json.loads(server.requests[-1].body)
    assert (event["rawPath"], event["rawQueryString"], event["body"]) == ("/a", "?b=1", "text")
    [record] = (await store.find_api_requests(parse(""))).rows
    assert (record.id, record.status_code) == (event["requestContext"]["requestId"], 201)
    assert registry.get_sample_value("taskd_api_calls_total", {"error": "none"}) == 1
    with pytest.raises(ContractError):
        await functions.call(named("function-error"), call)
    assert registry.get_sample_value("taskd_api_calls_total", {"error": "runtime"}) == 1
