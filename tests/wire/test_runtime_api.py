"""The Runtime API itself, spoken by hand: what a sandbox may ask for, and what it may not."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from support.functions.local_runtime import (
    LocalRuntimeHarness,
    appears,
    failure_of,
    local_harness,
    messages,
    success_of,
)
from support.functions.zips import zip_of

from taskd.runtime.base import FunctionError, InvocationResult, Success

IDLE = """\
    #!/bin/sh
    echo "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime" > "$ADDRESS_FILE"
    exec sleep 600
    """


class RuntimeApiClient:
    """Makes requests in place of sandboxes, whose own process only tells their address."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def next(self, api: str) -> tuple[int, dict[str, str], bytes]:
        async with self._session.get(f"{api}/invocation/next") as answer:
            return answer.status, dict(answer.headers), await answer.read()

    async def post(self, url: str, body: bytes = b"{}", **headers: str) -> tuple[int, Any]:
        async with self._session.post(url, data=io.BytesIO(body), headers=headers) as answer:
            is_json = answer.content_type == "application/json"
            return answer.status, await answer.json() if is_json else None


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[LocalRuntimeHarness]:
    async with local_harness(tmp_path / "functions", max_sandboxes=2) as harness:
        yield harness


@pytest.fixture
async def api_client() -> AsyncIterator[RuntimeApiClient]:
    async with aiohttp.ClientSession() as session:
        yield RuntimeApiClient(session)


async def begin(
    harness: LocalRuntimeHarness, tmp_path: Path, name: str = "probe"
) -> tuple[asyncio.Future[InvocationResult], str]:
    """Calls a new function; gives the call's future and the address of its sandbox's API."""
    file = tmp_path / f"{name}.address"
    await harness.deploy(
        zip_of({"bootstrap": IDLE}, mode=0o755),
        name=name,
        runtime="provided.al2",
        environment={"ADDRESS_FILE": str(file)},
    )
    call = harness.call({"for": name}, name)
    return call, await appears(file)


async def test_a_call_is_given_out_with_lambdas_headers_and_answered(
    harness: LocalRuntimeHarness, api_client: RuntimeApiClient, tmp_path: Path
) -> None:
    call, api = await begin(harness, tmp_path)
    status, headers, event = await api_client.next(api)
    assert (status, json.loads(event)) == (200, {"for": "probe"})
    assert headers["Content-Type"] == "application/json"
    assert headers["Lambda-Runtime-Invoked-Function-Arn"].endswith(":function:probe")
    assert headers["Lambda-Runtime-Deadline-Ms"].isdecimal()
    request_id = headers["Lambda-Runtime-Aws-Request-Id"]
    assert await api_client.post(f"{api}/invocation/{request_id}/response", b'"ok"') == (202, {"status": "OK"})
    assert await call == Success(b'"ok"')


async def test_a_second_answer_to_the_same_call_is_refused(
    harness: LocalRuntimeHarness, api_client: RuntimeApiClient, tmp_path: Path
) -> None:
    call, api = await begin(harness, tmp_path)
    request_id = (await api_client.next(api))[1]["Lambda-Runtime-Aws-Request-Id"]
    await api_client.post(f"{api}/invocation/{request_id}/response", b"1")
    for answer in ("response", "error"):
        status, error = await api_client.post(f"{api}/invocation/{request_id}/{answer}", b"2")
        assert (status, error["errorType"]) == (400, "InvalidRequestID")
    assert success_of(await call).payload == b"1"


async def test_a_sandbox_cannot_answer_for_another(
    harness: LocalRuntimeHarness, api_client: RuntimeApiClient, tmp_path: Path
) -> None:
    mine, my_api = await begin(harness, tmp_path, "mine")
    yours, your_api = await begin(harness, tmp_path, "yours")
    await api_client.next(my_api)
    your_id = (await api_client.next(your_api))[1]["Lambda-Runtime-Aws-Request-Id"]
    status, error = await api_client.post(f"{my_api}/invocation/{your_id}/response", b'"forged"')
    assert (status, error["errorType"]) == (400, "InvalidRequestID")
    assert not yours.done()
    assert not mine.done()


async def test_a_wrong_secret_reaches_no_sandbox(
    harness: LocalRuntimeHarness, api_client: RuntimeApiClient, tmp_path: Path
) -> None:
    call, api = await begin(harness, tmp_path)
    request_id = (await api_client.next(api))[1]["Lambda-Runtime-Aws-Request-Id"]
    secret = api.split("/")[3]
    for guess in (secret[:-1], "", "x" * len(secret)):
        status, _ = await api_client.post(f"{api.replace(secret, guess)}/invocation/{request_id}/response")
        assert status in (403, 404)
    status, _, _ = await api_client.next(api.replace(secret, "other"))
    assert status == 403
    assert not call.done()


async def test_a_call_not_yet_given_out_cannot_be_answered(
    harness: LocalRuntimeHarness, api_client: RuntimeApiClient, tmp_path: Path
) -> None:
    call, api = await begin(harness, tmp_path)
    status, _ = await api_client.post(f"{api}/invocation/00000000-0000-0000-0000-000000000000/response")
    assert status == 400
    assert not call.done()


async def test_the_next_call_is_not_given_out_before_this_one_is_answered(
    harness: LocalRuntimeHarness, api_client: RuntimeApiClient, tmp_path: Path
) -> None:
    call, api = await begin(harness, tmp_path)
    await api_client.next(api)
    status, _, body = await api_client.next(api)
    assert (status, json.loads(body)["errorType"]) == (403, "InvalidStateTransition")
    assert not call.done()


async def test_a_failed_start_is_reported_and_ends_the_sandbox(
    harness: LocalRuntimeHarness, api_client: RuntimeApiClient, tmp_path: Path
) -> None:
    call, api = await begin(harness, tmp_path)
    error = json.dumps({"errorType": "Runtime.NoConfig", "errorMessage": "no config"}).encode()
    assert (await api_client.post(f"{api}/init/error", error))[0] == 202
    assert await call == FunctionError("Runtime.NoConfig", "no config")
    assert (await api_client.next(api))[0] == 403


async def test_a_runtime_that_has_its_call_cannot_fail_to_start(
    harness: LocalRuntimeHarness, api_client: RuntimeApiClient, tmp_path: Path
) -> None:
    call, api = await begin(harness, tmp_path)
    await api_client.next(api)
    status, error = await api_client.post(f"{api}/init/error")
    assert (status, error["errorType"]) == (403, "InvalidStateTransition")
    assert not call.done()


async def test_who_asks_again_gets_the_call_on_the_new_connection(
    harness: LocalRuntimeHarness, api_client: RuntimeApiClient, tmp_path: Path
) -> None:
    call, api = await begin(harness, tmp_path)
    request_id = (await api_client.next(api))[1]["Lambda-Runtime-Aws-Request-Id"]
    await api_client.post(f"{api}/invocation/{request_id}/response", b"1")
    await call
    polls = {asyncio.create_task(api_client.next(api)), asyncio.create_task(api_client.next(api))}
    given_up, (waiting,) = await asyncio.wait(polls, return_when=asyncio.FIRST_COMPLETED)
    assert [poll.result()[0] for poll in given_up] == [403]
    second = harness.call({"second": True})
    assert json.loads((await waiting)[2]) == {"second": True}
    assert not second.done()


async def test_a_response_over_the_limit_is_lambdas_error(
    harness: LocalRuntimeHarness, api_client: RuntimeApiClient, tmp_path: Path
) -> None:
    call, api = await begin(harness, tmp_path)
    request_id = (await api_client.next(api))[1]["Lambda-Runtime-Aws-Request-Id"]
    status, error = await api_client.post(f"{api}/invocation/{request_id}/response", b"x" * (6 * 1024 * 1024 + 1))
    assert (status, error["errorType"]) == (413, "RequestEntityTooLarge")
    result = failure_of(await call)
    assert result.name == "Function.ResponseSizeTooLarge"
    assert result.message == "Response payload size exceeded maximum allowed payload size (6291456 bytes)."
    assert messages(result) == []


async def test_a_compressed_body_is_not_inflated(
    harness: LocalRuntimeHarness, api_client: RuntimeApiClient, tmp_path: Path
) -> None:
    call, api = await begin(harness, tmp_path)
    request_id = (await api_client.next(api))[1]["Lambda-Runtime-Aws-Request-Id"]
    headers = {"Content-Encoding": "gzip"}
    status, _ = await api_client.post(f"{api}/invocation/{request_id}/response", b'"raw"', **headers)
    assert status == 202
    assert success_of(await call).payload == b'"raw"'


async def test_paths_that_are_not_lambdas_do_not_exist(
    harness: LocalRuntimeHarness, api_client: RuntimeApiClient, tmp_path: Path
) -> None:
    _, api = await begin(harness, tmp_path)
    for path in ("invocation", "restore/next", "../runtime"):
        async with aiohttp.request("GET", f"{api}/{path}") as answer:
            assert answer.status == 404
