"""Answers that are sent in one piece, byte for byte as aiohttp's own would be."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, web
from support.http.raw import send_raw

from taskd.api.http.json_response import JsonResponse
from taskd.api.http.server import serve

TEXT = '{"é":1}'.encode()


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """Answers the same text through both, with the status and the headers asked for."""

    async def ours(request: web.Request) -> web.StreamResponse:
        return dressed(JsonResponse(TEXT, int(request.query.get("status", 200))), request)

    async def reference(request: web.Request) -> web.StreamResponse:
        status = int(request.query.get("status", 200))
        return dressed(web.Response(body=TEXT, status=status, content_type="application/json"), request)

    def dressed(response: web.StreamResponse, request: web.Request) -> web.StreamResponse:
        if "header" in request.query:
            response.headers["X-Own"] = request.query["header"]
        if "close" in request.query:
            response.force_close()
        return response

    app = web.Application()
    app.add_routes([web.get("/ours", ours), web.get("/reference", reference)])
    runner, url = await serve(app, "127.0.0.1", 0)
    yield url
    await runner.cleanup()


@pytest.mark.parametrize("query", ["", "?status=400", "?status=503", "?header=a", "?close=1"])
@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_an_answer_says_what_aiohttp_would_say(url: str, method: str, version: str, query: str) -> None:
    end = f"{query} {version}\r\nHost: a\r\nConnection: close\r\n\r\n"
    ours, reference = [await send_raw(url, f"{method} {path}{end}".encode()) for path in ("/ours", "/reference")]
    assert parts(ours) == parts(reference)


async def test_a_connection_serves_one_answer_after_another(url: str) -> None:
    async with ClientSession(url) as client:
        for path in ("/ours", "/reference", "/ours?status=400", "/ours"):
            async with client.get(path) as response:
                assert await response.read() == TEXT


async def test_an_old_client_that_asks_for_it_keeps_its_connection(url: str) -> None:
    request = b"GET /ours HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"
    answer = await send_raw(url, request + request.replace(b"keep-alive", b"close"))
    assert answer.count(b"HTTP/1.0 200 OK\r\n") == 2
    assert answer.count(b"Connection: keep-alive\r\n") == 1


def parts(answer: bytes) -> tuple[bytes, list[bytes], bytes]:
    """Status line, headers but for the date, and text."""
    head, _, text = answer.partition(b"\r\n\r\n")
    status, *headers = head.split(b"\r\n")
    return status, sorted(header for header in headers if not header.startswith(b"Date: ")), text
