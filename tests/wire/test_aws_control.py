"""Deploying to AWS Lambda, against moto's imitation of it."""

import base64
import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.aws.environment import a_call, use_key
from support.aws.lambda_server import running_lambda
from support.aws.moto import REGION, Moto, running_moto
from support.functions.zips import function, python_zip

from taskd.execution.deployment import Deployments
from taskd.model.errors import INVALID_CODE, INVALID_CONFIGURATION, UNAVAILABLE, ContractError, ErrorKind
from taskd.model.function import Function
from taskd.runtime.aws.runtime import AwsRuntime
from taskd.runtime.aws.settings import AwsSettings
from taskd.store.base import TaskStore
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore

pytestmark = pytest.mark.slow


CODE = python_zip("def handler(event, context): return 1")
OTHER_CODE = python_zip("def handler(event, context): return 2")
PREFIX = "test-"


@pytest.fixture(scope="module")
def moto() -> Iterator[Moto]:
    with running_moto() as moto:
        yield moto


@pytest.fixture(autouse=True)
def aws_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    use_key(monkeypatch)


@pytest.fixture
async def settings(moto: Moto) -> AwsSettings:
    return AwsSettings(
        region=REGION,
        endpoint_url=moto.url,
        role=await moto.role(),
        name_prefix=PREFIX,
        tags={"team": "sleep"},
        deploy_timeout_s=10,
    )


@pytest.fixture
async def runtime(settings: AwsSettings) -> AsyncIterator[AwsRuntime]:
    runtime = AwsRuntime(settings)
    await runtime.start([])
    yield runtime
    await runtime.stop()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[TaskStore]:
    store = EmbeddedStore(StoreSettings(data=str(tmp_path)))
    await store.start()
    yield store
    await store.stop()


def sha256(code: bytes) -> str:
    return base64.b64encode(hashlib.sha256(code).digest()).decode()


async def deployed(runtime: AwsRuntime, wanted: Function, code: bytes | None = CODE) -> Function:
    prepared = await runtime.prepare(wanted, code)
    await runtime.deploy(prepared)
    return prepared


async def at_aws(moto: Moto, name: str) -> dict[str, Any]:
    found = await moto.function(PREFIX + name)
    assert found is not None
    return found


async def refused(
    runtime: AwsRuntime, wanted: Function, kind: ErrorKind, match: str, code: bytes | None = CODE
) -> None:
    with pytest.raises(ContractError, match=match) as raised:
        await deployed(runtime, wanted, code)
    assert raised.value.kind == kind


async def test_a_deployed_function_is_at_aws_as_it_was_defined(moto: Moto, runtime: AwsRuntime) -> None:
    wanted = function(
        "whole", "nodejs22.x", description="counts", time_limit_s=77, memory_limit_mb=512, environment={"STAGE": "x"}
    )
    prepared = await deployed(runtime, wanted)
    assert prepared.code_version == sha256(CODE)
    found = await at_aws(moto, "whole")
    expected = {
        "FunctionName": "test-whole",
        "CodeSha256": sha256(CODE),
        "Handler": "index.handler",
        "Runtime": "nodejs22.x",
        "Description": "counts",
        "Timeout": 77,
        "MemorySize": 512,
        "Environment": {"Variables": {"STAGE": "x"}},
        "Role": await moto.role(),
    }
    assert expected.items() <= found["Configuration"].items()
    assert found["Tags"] == {"team": "sleep", "managed-by": "taskd"}


async def test_what_is_only_prepared_is_not_at_aws(moto: Moto, runtime: AwsRuntime) -> None:
    prepared = await runtime.prepare(function("readied"), CODE)
    await runtime.discard(prepared)
    assert await moto.function("test-readied") is None
    with pytest.raises(ContractError, match="send code again") as raised:
        await runtime.deploy(prepared)
    assert raised.value.kind == INVALID_CODE


async def test_code_and_configuration_change_together_or_alone(moto: Moto, runtime: AwsRuntime) -> None:
    first = await deployed(runtime, function("changing"))
    second = await deployed(runtime, function("changing", time_limit_s=99), OTHER_CODE)
    assert second.code_version == sha256(OTHER_CODE) != first.code_version
    third = await deployed(runtime, function("changing", time_limit_s=5, code_version=second.code_version), None)
    found = (await at_aws(moto, "changing"))["Configuration"]
    assert (found["CodeSha256"], found["Timeout"]) == (third.code_version, 5)
    await deployed(runtime, function("changing", time_limit_s=5, environment={}), CODE)
    found = (await at_aws(moto, "changing"))["Configuration"]
    assert (found["CodeSha256"], found["Timeout"]) == (first.code_version, 5)


async def test_an_interrupted_deployment_is_healed_by_deploying_again(moto: Moto, settings: AwsSettings) -> None:
    """As after a crash right behind ``put_function``: the store knows what AWS does not."""
    runtime = AwsRuntime(settings)
    known = function("healed", code_version=sha256(CODE))
    await runtime.start([known])
    await deployed(runtime, known)
    assert await moto.function("test-healed") is not None
    await deployed(runtime, function("healed", time_limit_s=42, code_version=sha256(CODE)), None)
    assert (await at_aws(moto, "healed"))["Configuration"]["Timeout"] == 42
    await runtime.stop()


async def test_a_function_left_at_aws_by_an_earlier_taskd_is_taken_over(
    moto: Moto, runtime: AwsRuntime, settings: AwsSettings
) -> None:
    await deployed(runtime, function("orphaned"))
    later = AwsRuntime(settings)
    await later.start([])
    await deployed(later, function("orphaned", memory_limit_mb=256), OTHER_CODE)
    found = (await at_aws(moto, "orphaned"))["Configuration"]
    assert (found["CodeSha256"], found["MemorySize"]) == (sha256(OTHER_CODE), 256)
    await later.stop()


async def test_code_that_somebody_changed_at_aws_is_not_taken_for_what_was_deployed(
    moto: Moto, runtime: AwsRuntime
) -> None:
    wanted = await deployed(runtime, function("tampered"))
    async with moto.client("lambda") as client:
        await client.update_function_code(FunctionName="test-tampered", ZipFile=OTHER_CODE)
    await refused(runtime, wanted, INVALID_CODE, "send code again", None)
    await deployed(runtime, wanted)
    assert (await at_aws(moto, "tampered"))["Configuration"]["CodeSha256"] == sha256(CODE)


async def test_what_does_not_concern_aws_is_not_asked_of_it(settings: AwsSettings) -> None:
    """Functions can be disabled while AWS is out of reach."""
    unreachable = AwsSettings(region=REGION, endpoint_url="http://127.0.0.1:9", role=settings.role)
    runtime = AwsRuntime(unreachable)
    await runtime.start([function("disabled", code_version="1")])
    await runtime.deploy(function("disabled", code_version="1", enabled=False, default_priority=9, update_ms=7))
    with pytest.raises(ContractError, match="cannot be asked now") as raised:
        await runtime.deploy(function("disabled", code_version="1", time_limit_s=11))
    assert raised.value.kind == UNAVAILABLE
    await runtime.stop()


async def test_a_removed_function_is_gone_at_aws_and_may_have_been_before(moto: Moto, runtime: AwsRuntime) -> None:
    await deployed(runtime, function("removed"))
    await runtime.remove("removed")
    assert await moto.function("test-removed") is None
    await runtime.remove("removed")
    await runtime.remove("never-there")


async def test_functions_deployed_with_other_tools_are_neither_changed_nor_deleted(
    moto: Moto, runtime: AwsRuntime
) -> None:
    async with moto.client("lambda") as client:
        await client.create_function(
            FunctionName="test-foreign",
            Role=await moto.role(),
            Handler="index.handler",
            Runtime="python3.12",
            Code={"ZipFile": OTHER_CODE},
        )
    await refused(runtime, function("foreign"), INVALID_CONFIGURATION, "not deployed from here")
    await runtime.remove("foreign")
    assert (await at_aws(moto, "foreign"))["Configuration"]["CodeSha256"] == sha256(OTHER_CODE)


@pytest.mark.parametrize(
    ("code", "match"),
    [(b"no zip", "not a readable zip"), (python_zip("")[:-30], "not a readable zip"), (b"\0" * 60_000_000, "50 MiB")],
    ids=["no zip", "half a zip", "too large"],
)
async def test_code_that_is_no_usable_zip_is_refused(runtime: AwsRuntime, code: bytes, match: str) -> None:
    await refused(runtime, function("bad-code"), INVALID_CODE, match, code)


async def test_a_role_that_aws_does_not_accept_is_told_with_its_reason(settings: AwsSettings) -> None:
    runtime = AwsRuntime(
        AwsSettings(region=REGION, endpoint_url=settings.endpoint_url, role="arn:aws:iam::123456789012:role/nobody")
    )
    await runtime.start([])
    await refused(runtime, function("no-role"), INVALID_CONFIGURATION, "cannot be assumed by Lambda")
    await runtime.stop()


async def test_without_a_role_the_error_says_what_to_set(settings: AwsSettings) -> None:
    runtime = AwsRuntime(AwsSettings(region=REGION, endpoint_url=settings.endpoint_url))
    await runtime.start([])
    await refused(runtime, function("roleless"), INVALID_CONFIGURATION, r"role in \[aws\].*AWS's own tools")
    await runtime.stop()


async def test_a_name_that_is_too_long_with_the_prefix_is_refused(runtime: AwsRuntime) -> None:
    await refused(runtime, function("x" * 60), INVALID_CONFIGURATION, "1 characters too long")


async def test_deployed_functions_are_invoked_with_the_prefix_and_all_others_by_their_name(
    moto: Moto, settings: AwsSettings
) -> None:
    async with running_lambda() as server:
        prefixed = AwsSettings(region=REGION, endpoint_url=server.url, name_prefix=PREFIX)
        runtime = AwsRuntime(prefixed)
        await runtime.start([function("known")])
        references = ["known", "known:live", "unknown", "unknown:live", "arn:aws:lambda:eu-west-1:1:function:known"]
        for reference in references:
            await runtime.invoke(a_call(reference))
        asked = [request.function_name for request in server.requests]
        assert asked == ["test-known", "test-known:live", "unknown", "unknown:live", references[-1]]
        await runtime.stop()


async def test_the_steps_of_the_service_create_update_and_delete_at_aws(
    moto: Moto, runtime: AwsRuntime, store: TaskStore
) -> None:
    deployments = Deployments(store, runtime)
    await deployments.create(function("stepwise"), CODE)
    await deployments.update("stepwise", lambda former: former, OTHER_CODE)
    assert (await at_aws(moto, "stepwise"))["Configuration"]["CodeSha256"] == sha256(OTHER_CODE)
    known = store.function("stepwise")
    assert known is not None
    assert known.code_version == sha256(OTHER_CODE)
    await deployments.remove("stepwise")
    assert await moto.function("test-stepwise") is None
