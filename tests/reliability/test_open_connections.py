"""Connections that do nothing take neither the descriptors of the journal nor the places of those who have work."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web
from support.daemon.process import DaemonProcess, api_of

from taskd.api.http.server import serve

DESCRIPTORS = 512
FEW_DESCRIPTORS = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, ({DESCRIPTORS}, {DESCRIPTORS}))
import taskd.cli
sys.exit(taskd.cli.main())
"""
GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
Stream = tuple[StreamReader, StreamWriter]


async def opened(stack: AsyncExitStack, url: str, sent: bytes = b"") -> Stream:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    stack.callback(writer.close)
    writer.write(sent)
    return reader, writer


async def first_line(stream: Stream) -> bytes:
    async with asyncio.timeout(20):
        return await stream[0].readline()


@asynccontextmanager
async def small_server(connections_max: int) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """A server that answers at once, but on ``/slow`` only after the event."""
    go_on = asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/slow":
            await go_on.wait()
        return web.Response()

    app = web.Application()
    app.add_routes([web.get("/{path}", answer)])
    runner, url = await serve(app, "127.0.0.1", 0, connections_max=connections_max)
    try:
        yield url, go_on
    finally:
        go_on.set()
        await runner.cleanup()


async def test_more_idle_connections_than_descriptors_leave_the_service_able_to_create(tmp_path: Path) -> None:
    daemon = DaemonProcess(tmp_path, program=("-c", FEW_DESCRIPTORS))
    await daemon.start()
    async with AsyncExitStack() as stack:
        idle = [await opened(stack, daemon.url) for _ in range(2 * DESCRIPTORS)]
        assert await first_line(idle[0]) == b""
        async with api_of(daemon) as api:
            for _ in range(10):
                await api.create("f")
    assert await daemon.stop() == 0
    assert "Too many open files" not in daemon.log.read_text()


async def test_the_connection_that_has_idled_longest_is_closed_for_a_new_one() -> None:
    async with small_server(connections_max=3) as (url, _), AsyncExitStack() as stack:
        streams = [await opened(stack, url, GET) for _ in range(3)]
        for stream in streams:
            assert b" 200 " in await first_line(stream)
            await stream[0].readuntil(b"\r\n\r\n")
        streams[0][1].write(GET)
        assert b" 200 " in await first_line(streams[0])
        assert b" 200 " in await first_line(await opened(stack, url, GET))
        assert await first_line(streams[1]) == b""
        streams[2][1].write(GET)
        assert b" 200 " in await first_line(streams[2])


async def test_where_all_connections_are_in_use_a_new_one_is_told_so() -> None:
    async with small_server(connections_max=2) as (url, go_on), AsyncExitStack() as stack:
        busy = [await opened(stack, url, GET.replace(b"/health", b"/slow")) for _ in range(2)]
        async with asyncio.timeout(20):
            while b" 503 " not in await first_line(refused := await opened(stack, url, GET)):
                pass
        answer = (await refused[0].read()).decode()
        assert "Connection: close" in answer
        assert '"code":1503' in answer
        go_on.set()
        for stream in busy:
            assert b" 200 " in await first_line(stream)
        assert b" 200 " in await first_line(await opened(stack, url, GET))


async def test_requests_that_cannot_be_read_keep_no_connection() -> None:
    """A target whose host is no name once left each connection open for ever, and in use."""
    async with small_server(connections_max=3) as (url, _), AsyncExitStack() as stack:
        for _ in range(10):
            stream = await opened(stack, url, b"GET http://xn--a/ HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b" 400 " in await first_line(stream)
            async with asyncio.timeout(20):
                assert (await stream[0].read()).endswith(b"}")
        assert b" 200 " in await first_line(await opened(stack, url, GET))
