"""A receiver of webhooks on loopback: answers as a test says, and keeps what came."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiohttp import web
from msgspec import Struct

LOOPBACK = ("127.0.0.0/8",)
Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Received(Struct):
    """One request."""

    headers: dict[str, str]
    body: bytes
    remote: str

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def json(self) -> dict[str, Any]:
        return dict(orjson.loads(self.body))


async def taken(request: web.Request) -> web.StreamResponse:
    """The answer of a receiver that is content."""
    return web.Response(status=204)


class Receiver:
    """Listens from the moment that it is entered."""

    def __init__(self) -> None:
        self.answer: Answering = taken
        self.received: list[Received] = []
        self.url = ""
        self.port = 0
        self._came = asyncio.Condition()

    async def count(self, count: int) -> list[Received]:
        """What has come, once it is so many."""
        async with asyncio.timeout(20), self._came:
            await self._came.wait_for(lambda: len(self.received) >= count)
        return self.received

    async def handle(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = await request.read()
        async with self._came:
            self.received.append(Received(headers, body, request.remote or ""))
            self._came.notify_all()
        return await self.answer(request)


@asynccontextmanager
async def receiving(host: str = "127.0.0.1", **site: Any) -> AsyncIterator[Receiver]:
    """A receiver on a free port."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", receiver.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    listening = web.TCPSite(runner, host, 0, **site)
    await listening.start()
    receiver.port = runner.addresses[0][1]
    receiver.url = f"{'https' if site else 'http'}://{host}:{receiver.port}/hook"
    try:
        yield receiver
    finally:
        await runner.cleanup()
