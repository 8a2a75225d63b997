"""Bodies and connections, over real sockets: what is refused before any resource looks at it."""

import asyncio
import gzip
import logging
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, web
from support.http.error_shape import assert_error
from support.http.raw import send_raw

from taskd.api.http import request_body
from taskd.api.http.admission import Admission
from taskd.api.http.request_body import read_body
from taskd.api.http.server import ListenError, serve
from taskd.api.settings import ServerSettings

LIMIT_BYTES = 100_000


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """A server that answers a body with its length, and breaks on demand."""

    async def measure(request: web.Request) -> web.Response:
        return web.json_response(len(await read_body(request, LIMIT_BYTES)))

    async def break_down(request: web.Request) -> web.Response:
        return web.json_response(1 // 0)

    app = web.Application(middlewares=[Admission(ServerSettings()).middleware])
    app.add_routes([web.post("/measure", measure), web.get("/break", break_down)])
    runner, url = await serve(app, "127.0.0.1", 0)
    yield url
    await runner.cleanup()


@pytest.fixture
async def client(url: str) -> AsyncIterator[ClientSession]:
    async with ClientSession(url) as session:
        yield session


@pytest.mark.parametrize("size", [1, 1000, LIMIT_BYTES])
async def test_a_body_up_to_the_limit_arrives(client: ClientSession, size: int) -> None:
    async with client.post("/measure", data=b"x" * size) as response:
        assert await response.json() == size


async def test_a_body_in_chunks_arrives(client: ClientSession) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"x" * 1000

    async with client.post("/measure", data=chunks()) as response:
        assert await response.json() == 10_000


async def test_a_gzip_body_arrives_unpacked(client: ClientSession) -> None:
    for encoding in ("gzip", "GZIP", "x-gzip"):
        packed = gzip.compress(b"x" * LIMIT_BYTES, mtime=0)
        headers = {"Content-Encoding": encoding}
        async with client.post("/measure", data=packed, headers=headers) as response:
            assert await response.json() == LIMIT_BYTES


async def test_a_body_over_the_limit_is_refused_before_it_is_sent(url: str) -> None:
    head = f"POST /measure HTTP/1.1\r\nHost: x\r\nContent-Length: {LIMIT_BYTES + 1}\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
    writer.write(head.encode())
    async with asyncio.timeout(10):
        assert b"413" in await reader.readline()
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("size", [LIMIT_BYTES + 1, 20 * LIMIT_BYTES])
async def test_a_body_over_the_limit_is_refused_also_in_chunks(client: ClientSession, size: int) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"x" * size

    async with client.post("/measure", data=chunks()) as response:
        await assert_error(response, 1414)


async def test_a_decompression_bomb_is_refused(client: ClientSession) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000, mtime=0)
    assert len(bomb) < LIMIT_BYTES
    async with client.post("/measure", data=bomb, headers={"Content-Encoding": "gzip"}) as response:
        await assert_error(response, 1414)


WHOLE = gzip.compress(b"some body", mtime=0)
LIAR = gzip.compress(b"x" * LIMIT_BYTES, mtime=0)[:-4] + b"\1\0\0\0"
"""Says that it is one byte long."""


@pytest.mark.parametrize("packed", [b"no gzip", WHOLE[:-1], WHOLE[:12], WHOLE[:-8] + b"\0" * 8, WHOLE + WHOLE, LIAR])
async def test_damaged_gzip_is_refused(client: ClientSession, packed: bytes) -> None:
    async with client.post("/measure", data=packed, headers={"Content-Encoding": "gzip"}) as response:
        assert "gzip" in (await assert_error(response, 22))["message"]


async def test_other_encodings_are_refused(client: ClientSession) -> None:
    for encoding in ("br", "deflate", "gzip, gzip", "nonsense"):
        async with client.post("/measure", data=b"x", headers={"Content-Encoding": encoding}) as response:
            assert repr(encoding) in (await assert_error(response, 22))["message"]


@pytest.mark.parametrize("body", [None, b"", b" \r\n\t "])
async def test_an_empty_body_is_refused(client: ClientSession, body: bytes | None) -> None:
    async with client.post("/measure", data=body) as response:
        await assert_error(response, 13)


async def test_an_empty_gzip_body_is_refused(client: ClientSession) -> None:
    for packed in (b"", gzip.compress(b"", mtime=0)):
        async with client.post("/measure", data=packed, headers={"Content-Encoding": "gzip"}) as response:
            await assert_error(response, 13)


async def test_unknown_paths_and_methods_are_named(client: ClientSession) -> None:
    async with client.get("/nowhere") as response:
        assert "GET /nowhere" in (await assert_error(response, 5))["message"]
    async with client.delete("/measure") as response:
        assert "only POST" in (await assert_error(response, 5))["message"]


async def test_a_fault_leads_to_its_traceback(client: ClientSession, caplog: pytest.LogCaptureFixture) -> None:
    async with client.get("/break") as response:
        body = await assert_error(response, 1)
    assert body["requestId"] in body["message"]
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert body["requestId"] in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"BREW /measure HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/7.3\r\nHost: x\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://xn--/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST http://xn--a/measure HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nLarge: " + b"x" * 20_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"H: x\r\n" * 300 + b"\r\n",
        b"POST /measure HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /measure HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /measure HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_what_is_not_http_is_refused_without_noise(
    url: str, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await send_raw(url, sent)
    assert b" 400 Bad Request\r\n" in answer
    assert b'{"code":26,"name":"ILLEGAL_ARGUMENT_EXCEPTION","message":"The request is not valid HTTP' in answer
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("expected", [b"\xff", b"nonsense", "é".encode(), b"100-continue, \xff"])
@pytest.mark.parametrize("path", [b"/measure", b"/nowhere"])
async def test_what_cannot_be_expected_is_refused_without_noise(
    url: str, path: bytes, expected: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    head = b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: " + expected
    answer = await send_raw(url, head + b"\r\nContent-Length: 1\r\n\r\nx")
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b'{"code":26,"name":"ILLEGAL_ARGUMENT_EXCEPTION","message":"Expect may only be 100-continue."}' in answer
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_client_that_expects_to_be_told_to_go_on_is_told(client: ClientSession) -> None:
    async with client.post("/measure", data=b"whole", expect100=True) as response:
        assert await response.json() == 5


async def test_a_client_that_leaves_before_its_body_makes_no_noise(
    url: str, client: ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
    writer.write(b"POST /measure HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    async with client.post("/measure", data=b"whole") as response:
        assert await response.json() == 5
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_an_address_that_is_taken_is_named(url: str) -> None:
    port = int(url.rsplit(":", 1)[1])
    with pytest.raises(ListenError, match=f"127.0.0.1 port {port}.*in use"):
        await serve(web.Application(), "127.0.0.1", port)


async def test_an_ipv6_address_is_served() -> None:
    runner, url = await serve(web.Application(), "::1", 0)
    async with ClientSession(url) as session, session.get("/") as response:
        assert response.status == 404
    await runner.cleanup()


async def test_a_body_that_does_not_come_is_not_waited_for_for_ever(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_body, "BODY_TIME_LIMIT_S", 0.01)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
    writer.write(b"POST /measure HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf")
    async with asyncio.timeout(10):
        assert b"400" in await reader.readline()
        assert b"did not arrive within" in await reader.readuntil(b"}")
    writer.close()
    await writer.wait_closed()
