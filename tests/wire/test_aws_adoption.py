"""Functions that others deployed at AWS: known and called, and nothing is changed there. Against moto's imitation."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.aws.environment import use_key
from support.aws.lambda_server import running_lambda
from support.aws.moto import REGION, Moto, running_moto
from support.functions.zips import python_zip
from support.http.error_shape import assert_error
from support.http.service import BASE, Service

from taskd.api.http.notices import adoption_notice
from taskd.api.validation.function_body import (
    decode_function,
    decode_function_update,
    new_function,
    updated_function,
)
from taskd.cli import main
from taskd.cli.exit_codes import ExitCode
from taskd.execution.deployment import Deployments
from taskd.model.errors import FIELD_FORMAT, INVALID_CONFIGURATION, ContractError
from taskd.model.function import Function
from taskd.runtime.aws.runtime import AwsRuntime
from taskd.runtime.aws.settings import AwsSettings
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore


@pytest.fixture(scope="module")
def moto() -> Iterator[Moto]:
    with running_moto() as moto:
        yield moto


@pytest.fixture(autouse=True)
def aws_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    use_key(monkeypatch)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[EmbeddedStore]:
    store = EmbeddedStore(StoreSettings(data=str(tmp_path)))
    await store.start()
    yield store
    await store.stop()


@pytest.fixture
async def deployments(moto: Moto, store: EmbeddedStore) -> AsyncIterator[Deployments]:
    """Without a role: there is nothing to deploy."""
    runtime = AwsRuntime(AwsSettings(region=REGION, endpoint_url=moto.url, name_prefix="test-", deploy_timeout_s=10))
    await runtime.start([])
    yield Deployments(store, runtime)
    await runtime.stop()


async def deploy_by_others(moto: Moto, name: str, **tags: str) -> dict[str, Any]:
    async with moto.client("lambda") as client:
        found: dict[str, Any] = await client.create_function(
            FunctionName=name,
            Code={"ZipFile": python_zip("def handler(event, context): return 1")},
            Role=await moto.role(),
            Handler="theirs.handler",
            Runtime="python3.12",
            Timeout=900,
            MemorySize=512,
            Description="by Terraform",
            Tags=tags,
        )
    return found


def external(name: str, **fields: Any) -> Function:
    return new_function(decode_function(json.dumps({"name": name, "external": True, **fields}).encode()), 0)


async def test_what_aws_knows_is_read_and_nothing_is_changed_there(
    moto: Moto, store: EmbeddedStore, deployments: Deployments
) -> None:
    await deploy_by_others(moto, "theirs", **{"managed-by": "taskd"})
    before = await moto.function("theirs")
    options = {"defaultPriority": 7}
    adopted = await deployments.create(external("theirs", executionOptions=options, timeLimit=9), None)
    assert (adopted.time_limit_s, adopted.memory_limit_mb, adopted.runtime) == (900, 512, "python3.12")
    assert (adopted.entry_point, adopted.description, adopted.default_priority) == ("theirs.handler", "by Terraform", 7)
    assert adopted.code_version
    assert not adoption_notice(adopted)
    await deployments.set_enabled("theirs", enabled=False, now_ms=1)
    await deployments.set_paused("theirs", paused=True, reason=None, now_ms=1)
    body = decode_function_update(b'{"retryPolicy": {"enabled": true}}')
    await deployments.update("theirs", lambda function: updated_function(function, body, 2), None)
    changed = store.function("theirs")
    assert changed is not None
    assert (changed.enabled, changed.paused, changed.retry_policy.enabled) == (False, True, True)
    await deployments.remove("theirs")
    assert store.function("theirs") is None
    after = await moto.function("theirs")
    assert before is not None
    assert after is not None
    assert (after["Configuration"], after["Tags"]) == (before["Configuration"], before["Tags"])


async def test_what_is_not_at_aws_is_not_adopted(store: EmbeddedStore, deployments: Deployments) -> None:
    with pytest.raises(ContractError, match="no function absent") as raised:
        await deployments.create(external("absent"), None)
    assert raised.value.kind is INVALID_CONFIGURATION
    assert store.functions() == []


async def test_where_aws_does_not_tell_the_settings_are_assumed_and_that_is_said(
    store: EmbeddedStore, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_lambda() as server:  # which knows nothing but calls
        runtime = AwsRuntime(AwsSettings(region=REGION, endpoint_url=server.url, deploy_timeout_s=0.5))
        await runtime.start([])
        adopted = await Deployments(store, runtime).create(external("theirs", timeLimit=9), None)
        await runtime.stop()
    assert (adopted.time_limit_s, adopted.memory_limit_mb, adopted.code_version) == (9, 128, "")
    assert "9 s and 128 MB are assumed" in caplog.text
    assert "9 s and 128 MB are assumed" in adoption_notice(adopted)["Taskd-Notice"]


@pytest.mark.parametrize("field", ["code", "entryPoint", "runtime"])
def test_what_is_said_where_it_was_deployed_is_left_out(field: str) -> None:
    kept, refused = external("theirs"), f"{field} must be left out"
    with pytest.raises(ContractError, match=refused) as raised:
        external("theirs", **{field: "x"})
    assert raised.value.kind is FIELD_FORMAT
    with pytest.raises(ContractError, match=refused):
        updated_function(kept, decode_function_update(json.dumps({field: "x"}).encode()), 1)


async def test_the_command_line_says_what_is_wrong(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["functions", "adopt", "theirs", "--priority", "3", "--url", service.url]
    assert await asyncio.to_thread(main, arguments) == ExitCode.FAILED
    assert 'runtime = "aws"' in capsys.readouterr().err


async def test_this_machine_adopts_nothing(service: Service) -> None:
    async with service.client.post(f"{BASE}/functions", json={"name": "theirs", "external": True}) as response:
        assert 'runtime = "aws"' in (await assert_error(response, 1402))["message"]
    async with service.client.post(f"{BASE}/functions", json={"name": "ours"}) as response:
        message = (await assert_error(response, 14))["message"]
    assert all(name in message for name in ("code", "entryPoint", "runtime"))
