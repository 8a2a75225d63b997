"""Where one request ends and the next begins: what two readers could read differently is refused, no second one run.

A proxy in front may take for one request what this server takes for two, and lets the second one by unseen.
"""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from support.http.raw import send_raw

from taskd.api.http.admission import Admission
from taskd.api.http.request_body import read_optional_body
from taskd.api.http.server import serve
from taskd.api.settings import ServerSettings

HIDDEN = b"POST /hidden HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
EMPTY_CHUNKS = b"0\r\n\r\n"
LENGTHS = [
    *(b"+0", b"-1", b"0x0", b"0 0", b"", b"1e2", b"1_0", b"0, 0", b"126, 0", b"\x0c0", b"0\r\n 1", "٣".encode()),
    *(b"18446744073709551616", b"9" * 30, b"0\r\nContent-Length: 5", b"5\r\nContent-Length: 0", b"0\nX: y", b"0\rX: y"),
]
ENCODINGS = [
    *(b"xchunked", b"identity", b"chunked, identity", b'"chunked"', b"\x0bchunked", b"\r\n chunked", b"chunked\x00"),
    *(b"chunked\r\nTransfer-Encoding: identity", b"chunked\nX: y", b"chunked\r\n X: y"),
]
ENDS = [b"\n", b"\r", b"\n\r", b"\r\r\n", b"\x0b\r\n"]
CHUNKS = [
    *(b"-0", b"+0", b"0x0", b"0 0", b"", b"g", b"0 ;a", b"0\t", b"0;\x00", b'0;a="\r\n"', b"fffffffffffffffff", b"0\n"),
    b"2\r\nxxx",
]


@pytest.fixture
async def hidden_requests(unused_tcp_port: int) -> AsyncIterator[tuple[str, list[str]]]:
    """A server's URL, and the paths of the requests that reached it."""
    paths: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        paths.append(request.path)
        await read_optional_body(request, 1000)
        return web.Response()

    app = web.Application(middlewares=[Admission(ServerSettings()).middleware])
    app.add_routes([web.post("/{path}", answer)])
    runner, url = await serve(app, "127.0.0.1", unused_tcp_port)
    yield url, paths
    await runner.cleanup()


def request(headers: bytes, rest: bytes) -> bytes:
    return b"POST /seen HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n\r\n" + rest


AMBIGUOUS = [
    *(request(b"Content-Length: " + length, HIDDEN) for length in LENGTHS),
    request(b"Content-Length : 0", HIDDEN),
    *(request(b"Transfer-Encoding: " + encoding, EMPTY_CHUNKS + HIDDEN) for encoding in ENCODINGS),
    *(request(b"Transfer-Encoding" + end + b": chunked", EMPTY_CHUNKS + HIDDEN) for end in (b" ", b"\t", b"\x00")),
    request(b"Transfer-Encoding: chunked\r\nContent-Length: 5", EMPTY_CHUNKS + HIDDEN),
    request(b"Content-Length: 5\r\nTransfer-Encoding: chunked", EMPTY_CHUNKS + HIDDEN),
    *(request(b"Content-Length: 0", HIDDEN).replace(b"\r\n", end) for end in ENDS),
    *(request(b"X: y" + end + b"Content-Length: 0", HIDDEN) for end in (*ENDS, b"\r\n ")),
    *(request(b"Transfer-Encoding: chunked", chunk + b"\r\n\r\n" + HIDDEN) for chunk in CHUNKS),
    request(b"Connection: close\r\nContent-Length: 0", HIDDEN),
    request(b"Host: y\r\nContent-Length: 0", HIDDEN),
]


@pytest.mark.parametrize("sent", AMBIGUOUS, ids=range(len(AMBIGUOUS)))
async def test_what_could_be_one_request_or_two_is_refused(hidden_requests: tuple[str, list[str]], sent: bytes) -> None:
    url, paths = hidden_requests
    answer = await send_raw(url, sent)
    assert answer.count(b"HTTP/1.") == answer.count(b" 400 Bad Request\r\n") == 1
    assert b'"code":26' in answer
    assert "/hidden" not in paths


@pytest.mark.parametrize(
    "headers",
    [
        b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13",
        b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
        b"X-HTTP-Method-Override: DELETE\r\nX-Method-Override: DELETE\r\nX-HTTP-Method: DELETE",
        b"X-Original-URL: /hidden\r\nX-Rewrite-URL: /hidden",
        b"Content_Length: 0\r\nTransfer_Encoding: chunked",
        b"Expect: 100-continue",
    ],
)
async def test_headers_of_other_protocols_change_nothing(
    hidden_requests: tuple[str, list[str]], headers: bytes
) -> None:
    url, paths = hidden_requests
    length = b"\r\nContent-Length: %d\r\nConnection: close" % len(HIDDEN)
    answer = await send_raw(url, request(headers + length, HIDDEN))
    assert answer.count(b"HTTP/1.1 200 ") == 1
    assert paths == ["/seen"]
