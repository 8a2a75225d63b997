"""The client against a real HTTP server that answers well, badly, late or not at all."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from taskd.cli import main
from taskd.cli.client import ApiClient, ApiError, UnreachableError, parse_url, segment
from taskd.cli.exit_codes import CommandError, ExitCode

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[[Handler], Awaitable[str]]


@pytest.fixture
async def serve(aiohttp_server: Callable[[web.Application], Awaitable[TestServer]]) -> Serve:
    async def start(handler: Handler) -> str:
        app = web.Application(client_max_size=1024)
        app.router.add_route("*", "/{path:.*}", handler)
        return str((await aiohttp_server(app)).make_url(""))

    return start


async def get(url: str, **options: Any) -> Any:
    return await asyncio.to_thread(ApiClient(url, **options).get, "/functions")


def answering(status: int, body: Any) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return web.json_response(body, status=status)

    return handler


async def failure(handler: Handler, serve: Serve) -> CommandError:
    with pytest.raises(CommandError) as caught:
        await get(await serve(handler))
    return caught.value


async def test_a_request_carries_path_query_token_and_json(serve: Serve) -> None:
    async def handler(request: web.Request) -> web.Response:
        seen = [request.method, request.raw_path, request.headers["Authorization"], await request.json()]
        return web.json_response(seen)

    client = ApiClient(await serve(handler) + "/", token="secret")
    seen = await asyncio.to_thread(client.put, f"/functions/{segment('a/ü?')}", {"a": 1})
    assert seen == ["PUT", "/tasks/v1/functions/a%2F%C3%BC%3F", "Bearer secret", {"a": 1}]


async def test_a_server_below_a_path_is_reached(serve: Serve) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.json_response(request.raw_path)

    assert await get(await serve(handler) + "/my prefix/") == "/my%20prefix/tasks/v1/functions"


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [
        (404, 16, ExitCode.NOT_FOUND),
        (404, 11, ExitCode.FAILED),
        (401, 10, ExitCode.NOT_PERMITTED),
        (401, 104, ExitCode.NOT_PERMITTED),
        (401, 21, ExitCode.FAILED),
        (400, 27, ExitCode.FAILED),
        (503, 1503, ExitCode.FAILED),
    ],
)
async def test_an_error_of_the_api_is_told_with_its_code(
    serve: Serve, status: int, code: int, exit_code: ExitCode
) -> None:
    error = await failure(answering(status, {"code": code, "name": "ODD", "message": "this"}), serve)
    assert isinstance(error, ApiError)
    assert (error.http_status, error.code, error.exit_code) == (status, code, exit_code)
    assert str(error) == f"error {code} ODD: this"


@pytest.mark.parametrize(
    ("status", "body", "exit_code"),
    [
        (200, b"<html>", ExitCode.FAILED),
        (200, b"", ExitCode.FAILED),
        (200, b"[" * 100_000, ExitCode.FAILED),
        (200, b"\xff\xfe", ExitCode.FAILED),
        (301, b"{}", ExitCode.FAILED),
        (403, b"forbidden", ExitCode.NOT_PERMITTED),
        (502, b'{"error": "bad gateway"}', ExitCode.FAILED),
        (500, b'{"code": "text"}', ExitCode.FAILED),
        (500, b"[1]", ExitCode.FAILED),
    ],
)
async def test_an_answer_that_is_not_the_apis_is_called_so(
    serve: Serve, status: int, body: bytes, exit_code: ExitCode
) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=status, body=body)

    error = await failure(handler, serve)
    assert f"HTTP {status}" in str(error)
    assert "is it taskd?" in str(error)
    assert error.exit_code is exit_code


async def test_a_connection_lost_before_the_answer_is_told(serve: Serve) -> None:
    async def handler(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    error = await failure(handler, serve)
    assert error.exit_code is ExitCode.UNREACHABLE


async def test_a_server_that_does_not_answer_in_time_is_given_up(serve: Serve) -> None:
    done = asyncio.Event()

    async def handler(_: web.Request) -> web.Response:
        await done.wait()
        return web.Response()

    with pytest.raises(UnreachableError, match="timed out"):
        await get(await serve(handler), timeout_s=0.05)
    done.set()


def test_a_server_that_is_not_there_is_told_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        assert main(["tasks", "list", "--url", url]) == ExitCode.UNREACHABLE
    captured = capsys.readouterr()
    assert captured.err == (
        f"taskd: no answer from {url}: Connection refused. "
        "Is `taskd serve` running? --url or TASKD_URL says where to look.\n"
    )


@pytest.mark.parametrize("host", ["a..b", "x" * 80 + ".invalid"])
def test_a_host_name_that_cannot_be_is_no_traceback(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks", "list", "--url", f"http://{host}"]) == ExitCode.UNREACHABLE
    assert len(capsys.readouterr().err.splitlines()) == 1


async def test_a_body_refused_while_it_is_sent_is_told_by_the_servers_answer() -> None:
    """The server answers and hangs up with most of the body unread, as one does that has a limit."""
    answer = json.dumps({"code": 1414, "name": "BODY_TOO_LARGE_EXCEPTION", "message": "too large"}).encode()

    hung_up = asyncio.Event()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 413 Too Large\r\nContent-Length: {len(answer)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + answer)
        writer.write_eof()
        with suppress(ConnectionError):
            await reader.read()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        hung_up.set()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        client = ApiClient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        with pytest.raises(ApiError, match="1414"):
            await asyncio.to_thread(client.post, "/functions", {"code": "x" * 5_000_000})
        await hung_up.wait()


async def test_an_error_takes_one_line_whatever_the_message(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    url = await serve(answering(400, {"code": 15, "name": "F", "message": "two\nlines\r\n and \x1b[31mred"}))
    assert await asyncio.to_thread(main, ["tasks", "list", "--url", url]) == ExitCode.FAILED
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("taskd: error 15 F: two lines and ")
    assert "\x1b" not in line


@pytest.fixture
def function_folder(tmp_path: Path) -> Path:
    (tmp_path / "function.json").write_text('{"name": "f", "entryPoint": "i.h", "runtime": "python3.12"}')
    (tmp_path / "i.py").touch()
    return tmp_path


async def test_deploying_a_function_that_is_there_updates_it(
    serve: Serve, function_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    requests = []

    async def handler(request: web.Request) -> web.Response:
        requests.append((request.method, request.path, set(await request.json() if request.can_read_body else ())))
        return web.json_response({"affectedRecords": 1})

    assert (
        await asyncio.to_thread(main, ["functions", "deploy", str(function_folder), "--url", await serve(handler)]) == 0
    )
    path, fields = "/tasks/v1/functions/f", {"entryPoint", "runtime", "code"}
    assert requests == [("GET", path, set()), ("PUT", path, fields)]
    assert capsys.readouterr().out.startswith("Updated f: 1 file")


async def test_a_server_that_cannot_update_is_told_with_what_to_do(
    serve: Serve, function_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def handler(request: web.Request) -> web.Response:
        body = {"code": 11, "name": "ENDPOINT_EXCEPTION", "message": "no PUT"}
        return web.json_response(body, status=404 if request.method == "PUT" else 200)

    arguments = ["functions", "deploy", str(function_folder), "--url", await serve(handler)]
    assert await asyncio.to_thread(main, arguments) == ExitCode.FAILED
    assert "`taskd functions delete f` first" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "host", "port", "secure", "path"),
    [
        ("http://127.0.0.1:8080", "127.0.0.1", 8080, False, ""),
        ("https://[::1]/a/", "::1", None, True, "/a"),
        ("http://h/a%20b//", "h", None, False, "/a%20b"),
    ],
)
def test_a_url_is_taken_apart(url: str, host: str, port: int | None, secure: bool, path: str) -> None:
    target = parse_url(url)
    assert (target.host, target.port, target.secure, target.base_path) == (host, port, secure, path)
