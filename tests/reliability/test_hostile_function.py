"""Functions that turn on the Runtime API: they get at no call but their own, and at nothing of this process."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.daemon.process import api_of, running_daemon
from support.functions.local_runtime import LocalRuntimeHarness, appears, local_harness, success_of
from support.functions.zips import zip_of
from support.http.service import zipped

from taskd.runtime.base import FunctionError, InvocationResult

SILENT = """\
    #!/bin/sh
    echo "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime" > "$ADDRESS_FILE"
    exec sleep 600
    """
WAIT_S = 10
INCOMPLETE_S = 0.05
"""How long an answer is waited for where most likely none comes: half a request was sent."""
BODY_MAX_BYTES = 6 << 20

heads = st.binary(max_size=20)
methods = st.sampled_from([b"GET", b"POST", b"PUT", b"HEAD", b"CONNECT", b"OPTIONS", b"get", b"PRI"]) | heads
headers = st.sampled_from(
    [
        *(b"Content-Length: 2", b"Content-Length: -1", b"Content-Length: 99999999999", b"Content-Length: x"),
        *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Content-Encoding: br", b"Expect: x"),
        *(b"Lambda-Runtime-Function-Error-Type: \xff", b"Upgrade: h2c", b"X: " + b"x" * 9000, b"Host", b": y"),
    ]
)
bodies = st.binary(max_size=40) | st.sampled_from([b"{}", b"2\r\n{}\r\n0\r\n\r\n", b"zz\r\n", b"[" * 2000, b"\xff" * 9])
ids = st.sampled_from([b"{mine}", b"{yours}", b"{mine}%00", b"%2e%2e", b"", b"\xff", b"..", b"a/b"]) | heads
secrets = st.sampled_from([b"{secret}", b"{secret}x", b"", b"..", b"\xff", b"%00"]) | heads
ends = st.sampled_from([b"response", b"error", b"next", b"", b"response/", b"response?x=%zz", b"response#"]) | heads
requests = st.tuples(methods, secrets, ids, ends, st.lists(headers, max_size=3), bodies).filter(
    lambda request: not (request[1] == b"{secret}" and request[2] == b"{mine}")  # that answers its own call
)


class HeldCall:
    """A call in hand of a sandbox whose process only tells its address; the test speaks for it."""

    def __init__(self, call: "asyncio.Future[InvocationResult]", api: str, request_id: str) -> None:
        self.call = call
        self.request_id = request_id
        self.api = api
        _, _, self.authority, self.secret, *_ = api.split("/")

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = self.authority.split(":")
        return await asyncio.open_connection(host, int(port))

    async def send(self, request: bytes, wait_s: float = WAIT_S) -> bytes:
        """Sends ``request`` as it stands, and no more; gives what is answered, if anything is in time."""
        reader, writer = await self.connect()
        try:
            writer.write(request)
            async with asyncio.timeout(wait_s):
                return await reader.read()
        except TimeoutError:
            return b""
        finally:
            writer.close()

    def head(self, end: str, *lines: str) -> bytes:
        """The head of an answer to the call in hand."""
        path = f"/{self.secret}/2018-06-01/runtime/invocation/{self.request_id}/{end}"
        return "\r\n".join([f"POST {path} HTTP/1.1", "Host: x", "Connection: close", *lines, "", ""]).encode()


async def hold_call(harness: LocalRuntimeHarness, directory: Path, name: str) -> HeldCall:
    file = directory / f"{name}.address"
    variables = {"ADDRESS_FILE": str(file)}
    code = zip_of({"bootstrap": SILENT}, mode=0o755)
    await harness.deploy(code, name=name, runtime="provided.al2", environment=variables, time_limit_s=300)
    call = harness.call({"for": name}, name, timeout_s=300)
    api = await appears(file)
    async with aiohttp.request("GET", f"{api}/invocation/next") as answer:
        return HeldCall(call, api, answer.headers["Lambda-Runtime-Aws-Request-Id"])


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[LocalRuntimeHarness]:
    async with local_harness(tmp_path / "functions", max_sandboxes=2) as harness:
        yield harness


async def test_whatever_a_function_or_a_stranger_sends_reaches_no_other_call(
    harness: LocalRuntimeHarness, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL")
    mine, yours = await hold_call(harness, tmp_path, "mine"), await hold_call(harness, tmp_path, "yours")
    names = {b"{secret}": mine.secret, b"{mine}": mine.request_id, b"{yours}": yours.request_id}
    loop, sent = asyncio.get_running_loop(), []

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(request=requests)
    def attack(request: tuple[bytes, bytes, bytes, bytes, list[bytes], bytes]) -> None:
        method, secret, request_id, end, lines, body = request
        head = b"%s /%s/2018-06-01/runtime/invocation/%s/%s HTTP/1.1" % (method, secret, request_id, end)
        text = b"\r\n".join([head, b"Host: x", b"Connection: close", *lines, b"", body])
        for name, value in names.items():
            text = text.replace(name, value.encode())
        sent.append(text)
        answer = asyncio.run_coroutine_threadsafe(mine.send(text, INCOMPLETE_S), loop).result(WAIT_S)
        assert not answer or answer.startswith(b"HTTP/1."), answer
        assert b" 500 " not in answer[:20], answer
        assert b" 202 " not in answer[:20], answer

    await asyncio.to_thread(attack)
    assert sent
    assert not mine.call.done()
    assert not yours.call.done()
    await mine.send(mine.head("response", "Content-Length: 1") + b"1")
    assert success_of(await mine.call).payload == b"1"


NESTED = b'{"errorType":' + b"[" * 500 + b"]" * 500 + b"}"


@pytest.mark.parametrize(
    ("line", "body", "name"),
    [
        ("Content-Length: 2\r\nLambda-Runtime-Function-Error-Type: \xff\xfe", b"{}", "??"),
        (f"Content-Length: {len(NESTED)}", NESTED, "(nested too deeply to be shown)"),
        ("Content-Length: 22", b'{"errorType":"\\ud800"}', "Runtime.Unknown"),
    ],
    ids=["bytes", "nested", "surrogate"],
)
async def test_an_error_named_in_no_text_can_be_kept(
    harness: LocalRuntimeHarness, tmp_path: Path, line: str, body: bytes, name: str
) -> None:
    one = await hold_call(harness, tmp_path, "probe")
    head = one.head("error", line).decode().encode("latin-1")
    assert b" 202 " in await one.send(head + body)
    result = await one.call
    assert isinstance(result, FunctionError)
    assert result.name == name
    msgspec.msgpack.encode([result.name, result.message])


async def test_answers_sent_on_many_connections_at_once_are_refused_but_for_one(
    harness: LocalRuntimeHarness, tmp_path: Path
) -> None:
    one = await hold_call(harness, tmp_path, "probe")
    reader, writer = await one.connect()
    writer.write(one.head("response", f"Content-Length: {BODY_MAX_BYTES}") + b"1" * 1000)
    await writer.drain()
    async with asyncio.timeout(WAIT_S):
        while b" 403 " not in (refused := await one.send(one.head("error", "Content-Length: 2") + b"{x")):
            assert not refused.startswith(b"HTTP/1.1 202")
    assert json.loads(refused.split(b"\r\n\r\n")[1])["errorType"] == "InvalidStateTransition"
    assert not one.call.done()
    writer.write(b"1" * (BODY_MAX_BYTES - 1000))
    assert b"202" in await reader.readline()
    assert len(success_of(await one.call).payload) == BODY_MAX_BYTES
    writer.close()


async def test_an_answer_broken_off_may_be_sent_again(harness: LocalRuntimeHarness, tmp_path: Path) -> None:
    one = await hold_call(harness, tmp_path, "probe")
    await one.send(one.head("response", "Content-Length: 1000") + b"1", INCOMPLETE_S)
    async with asyncio.timeout(WAIT_S):
        while b" 202 " not in await one.send(one.head("response", "Content-Length: 1") + b"2"):
            pass
    assert success_of(await one.call).payload == b"2"


HEADER_OF_NO_TEXT = """
import os, socket

def handler(task, context):
    authority, secret = os.environ["AWS_LAMBDA_RUNTIME_API"].split("/")
    host, port = authority.split(":")
    path = f"/{secret}/2018-06-01/runtime/invocation/{context.aws_request_id}/error"
    with socket.create_connection((host, int(port))) as connection:
        head = f"POST {path} HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 2\\r\\n".encode()
        connection.sendall(head + b"Lambda-Runtime-Function-Error-Type: \\xff\\r\\n\\r\\n{}")
        connection.recv(1)
"""


async def test_a_function_that_names_its_error_in_bytes_of_no_text_does_not_end_the_daemon(tmp_path: Path) -> None:
    async with running_daemon(tmp_path) as daemon, api_of(daemon) as api:
        fields = {"code": zipped(index=HEADER_OF_NO_TEXT), "entryPoint": "index.handler", "runtime": "python3.12"}
        await api.call("POST", "/functions", {"name": "hostile", **fields})
        task = await api.wait_until_final((await api.create("hostile"))["id"])
        assert task["error"] == {"type": "runtime", "name": "?", "message": ""}
        async with aiohttp.request("GET", f"{daemon.url}/metrics") as response:
            assert "taskd_asyncio_tasks " in await response.text()
        assert await daemon.stop() == 0
