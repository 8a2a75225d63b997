"""Deploying to a Lambda that takes its time, refuses and fails: what moto does not imitate, on a real socket."""

import base64
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from support.aws.environment import use_key
from support.functions.zips import function, python_zip

from taskd.api.http.server import serve
from taskd.model.errors import INVALID_CODE, INVALID_CONFIGURATION, UNAVAILABLE, ContractError
from taskd.model.function import Function
from taskd.runtime.aws.runtime import AwsRuntime
from taskd.runtime.aws.settings import AwsSettings

CODE = python_zip("def handler(event, context): return 1")
OTHER_CODE = python_zip("def handler(event, context): return 2")
ROLE = "arn:aws:iam::123456789012:role/functions"
READY = {"State": "Active", "LastUpdateStatus": "Successful"}


class SlowLambda:
    """One function's control plane. ``states`` are shown one a look, and the last of them from then on."""

    def __init__(self) -> None:
        self.url = ""
        self.configuration: dict[str, Any] | None = None
        self.tags: dict[str, str] = {}
        self.states: list[dict[str, str]] = [READY]
        self.asked: list[str] = []
        self.refusals: dict[str, web.Response] = {}

    def routes(self) -> list[web.RouteDef]:
        base = "/2015-03-31/functions"
        return [
            web.post(base, self.create),
            web.get(base + "/{name}", self.show),
            web.put(base + "/{name}/configuration", self.configure),
            web.put(base + "/{name}/code", self.replace_code),
            web.delete(base + "/{name}", self.delete),
            web.post("/2017-03-31/tags/{arn}", self.tag),
        ]

    async def create(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.tags = body.pop("Tags")
        sha256 = _sha256(base64.b64decode(body.pop("Code")["ZipFile"]))
        return self._change("create", {**body, "CodeSha256": sha256})

    async def show(self, request: web.Request) -> web.Response:
        self.asked.append("show")
        if self.configuration is None:
            return _error(404, "ResourceNotFoundException", "Function not found")
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        arn = "arn:aws:lambda:eu-west-1:1:function:f"
        return web.json_response(
            {"Configuration": {**self.configuration, **state, "FunctionArn": arn}, "Tags": self.tags}
        )

    async def configure(self, request: web.Request) -> web.Response:
        return self._change("configure", await request.json())

    async def replace_code(self, request: web.Request) -> web.Response:
        code = base64.b64decode((await request.json())["ZipFile"])
        return self._change("replace code", {"CodeSha256": _sha256(code)})

    async def delete(self, request: web.Request) -> web.Response:
        self.asked.append("delete")
        self.configuration = None
        return self.refusals.pop("delete", web.Response(status=204))

    async def tag(self, request: web.Request) -> web.Response:
        self.asked.append("tag")
        if "tag" in self.refusals:
            return self.refusals.pop("tag")
        self.tags |= (await request.json())["Tags"]
        return web.Response(status=204)

    def _change(self, verb: str, change: dict[str, Any]) -> web.Response:
        self.asked.append(verb)
        if verb in self.refusals:
            return self.refusals.pop(verb)
        self.configuration = {**(self.configuration or {}), **change}
        return web.json_response(self.configuration)


def _sha256(code: bytes) -> str:
    return base64.b64encode(hashlib.sha256(code).digest()).decode()


def _error(status: int, name: str, message: str) -> web.Response:
    return web.json_response({"message": message}, status=status, headers={"x-amzn-ErrorType": name})


@pytest.fixture
async def server() -> AsyncIterator[SlowLambda]:
    server = SlowLambda()
    app = web.Application()
    app.add_routes(server.routes())
    runner, server.url = await serve(app, "127.0.0.1", 0)
    yield server
    await runner.cleanup()


@pytest.fixture
async def runtime(
    server: SlowLambda, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> AsyncIterator[AwsRuntime]:
    """Its parameter is how long a deployment may take, in seconds."""
    use_key(monkeypatch)
    limit_s = getattr(request, "param", AwsSettings().deploy_timeout_s)
    runtime = AwsRuntime(AwsSettings(region="eu-west-1", endpoint_url=server.url, role=ROLE, deploy_timeout_s=limit_s))
    await runtime.start([])
    yield runtime
    await runtime.stop()


async def deploy(runtime: AwsRuntime, code: bytes | None = CODE, **fields: Any) -> Function:
    prepared = await runtime.prepare(function("f", **fields), code)
    await runtime.deploy(prepared)
    return prepared


async def test_a_new_function_is_deployed_when_it_is_active(runtime: AwsRuntime, server: SlowLambda) -> None:
    server.states = [{"State": "Pending"}, READY]
    await deploy(runtime)
    assert server.asked == ["show", "create", "show", "show"]


async def test_a_function_that_cannot_be_made_is_told_with_the_reason(runtime: AwsRuntime, server: SlowLambda) -> None:
    server.states = [
        {"State": "Pending"},
        {"State": "Failed", "StateReasonCode": "DisallowedByVpcEncryptionControl", "StateReason": "no such subnet"},
    ]
    with pytest.raises(ContractError, match="DisallowedByVpcEncryptionControl: no such subnet") as raised:
        await deploy(runtime)
    assert raised.value.kind == INVALID_CONFIGURATION


async def test_a_change_that_is_under_way_is_waited_for(runtime: AwsRuntime, server: SlowLambda) -> None:
    await deploy(runtime)
    server.asked.clear()
    server.states = [{"State": "Active", "LastUpdateStatus": "InProgress"}, READY]
    await deploy(runtime, memory_limit_mb=256)
    assert server.asked == ["show", "show", "configure", "show"]


async def test_a_function_that_is_as_it_should_be_is_left_alone(runtime: AwsRuntime, server: SlowLambda) -> None:
    await deploy(runtime)
    server.asked.clear()
    await deploy(runtime)
    assert server.asked == ["show"]


@pytest.mark.parametrize("runtime", [2], indirect=True)
async def test_a_deployment_that_takes_too_long_is_told_and_can_be_repeated(
    runtime: AwsRuntime, server: SlowLambda
) -> None:
    server.states = [{"State": "Pending"}]
    prepared = await runtime.prepare(function("f"), CODE)
    with pytest.raises(ContractError, match=r"over 2 s.*Try again") as raised:
        await runtime.deploy(prepared)
    assert raised.value.kind == UNAVAILABLE
    server.states = [READY]
    await runtime.deploy(prepared)


async def test_when_new_code_is_refused_the_former_version_comes_back(runtime: AwsRuntime, server: SlowLambda) -> None:
    former = await deploy(runtime, environment={"A1": "b"})
    before = dict(server.configuration or {})
    server.asked.clear()
    server.refusals["replace code"] = _error(400, "InvalidParameterValueException", "Could not unzip uploaded file")
    with pytest.raises(ContractError, match="Could not unzip") as raised:
        await deploy(runtime, OTHER_CODE, time_limit_s=88)
    assert raised.value.kind == INVALID_CODE
    assert server.asked == ["show", "configure", "show", "replace code"]
    await runtime.deploy(former)
    assert server.configuration == before


async def test_a_removal_that_is_refused_can_be_repeated(runtime: AwsRuntime, server: SlowLambda) -> None:
    await deploy(runtime)
    server.refusals["delete"] = _error(409, "ResourceConflictException", "An update is in progress")
    with pytest.raises(ContractError, match="An update is in progress") as raised:
        await runtime.remove("f")
    assert raised.value.kind == UNAVAILABLE
    await runtime.remove("f")
    assert server.configuration is None


async def test_without_the_right_to_tag_nothing_is_changed(runtime: AwsRuntime, server: SlowLambda) -> None:
    await deploy(runtime)
    server.refusals["tag"] = _error(403, "AccessDeniedException", "not authorized to perform lambda:TagResource")
    tagging = AwsRuntime(AwsSettings(region="eu-west-1", endpoint_url=server.url, role=ROLE, tags={"team": "sleep"}))
    await tagging.start([])
    before = server.configuration
    with pytest.raises(ContractError, match=r"lambda:TagResource.*Running on AWS"):
        await deploy(tagging, OTHER_CODE, time_limit_s=99)
    assert server.configuration == before
    await tagging.stop()


async def test_tags_that_are_new_in_the_configuration_are_added(runtime: AwsRuntime, server: SlowLambda) -> None:
    await deploy(runtime)
    tagging = AwsRuntime(AwsSettings(region="eu-west-1", endpoint_url=server.url, role=ROLE, tags={"team": "sleep"}))
    await tagging.start([])
    await deploy(tagging)
    assert server.tags == {"team": "sleep", "managed-by": "taskd"}
    await tagging.stop()
