"""A server that hands out a page, passes all else on to the service as it came, and remembers what it passed on.

For a browser it is one server, as a name is that first leads to the page and then to the service.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from support.http.raw import send_raw

PAGE, DONE = "/page", "/done"


class Relay:
    """Hands out ``page``. ``passed_on`` are requests to the service and its answers, ``told`` what the page says."""

    def __init__(self, service_url: str, page: str) -> None:
        self.page = page
        self._service_url = service_url
        self.passed_on: list[tuple[bytes, bytes]] = []
        self.told: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers one request, and closes."""
        try:
            writer.write(await self._answer(await _request(reader)))
            await writer.drain()
        except asyncio.IncompleteReadError:  # a browser connects in advance
            pass
        finally:
            writer.close()

    async def _answer(self, request: bytes) -> bytes:
        path = request.split(b" ", 2)[1].decode()
        if path == PAGE:
            return _response(self.page)
        if path == DONE:
            self.told.set_result(request.partition(b"\r\n\r\n")[2].decode())
            return _response("")
        answer = await send_raw(self._service_url, request.replace(b"Connection: keep-alive", b"Connection: close"))
        self.passed_on.append((request, answer))
        return answer


async def _request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").lower().splitlines()
    length = next((int(line.partition(":")[2]) for line in lines if line.startswith("content-length:")), 0)
    return head + await reader.readexactly(length)


def _response(text: str) -> bytes:
    body = text.encode()
    head = f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@asynccontextmanager
async def relay(service_url: str, page: str) -> AsyncIterator[tuple[Relay, int]]:
    """A relay, and the port that it listens on; ``PORT`` in ``page`` is that port."""
    made = Relay(service_url, page)
    server = await asyncio.start_server(made.connected, urlsplit(service_url).hostname, 0)
    port = int(server.sockets[0].getsockname()[1])
    made.page = page.replace("PORT", str(port))
    async with server:
        yield made, port
