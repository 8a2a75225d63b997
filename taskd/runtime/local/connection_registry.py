"""Connections to the Runtime API: how many are kept, so that no sandbox can take what the others need.

A connection is a stranger until a request on it names a sandbox. A runtime sends one at once, so when strangers are
many the one that has been silent for longest goes. A sandbox has a few connections, and is refused more.
"""

import asyncio
from typing import Any

from aiohttp import web

STRANGERS_MAX = 256
EACH_MAX = 16
"""Connections of one sandbox: Lambda's runtimes have one, or two."""
_BACKLOG = 1024


class Connections:
    """The connections that there are, by whose they are."""

    def __init__(self) -> None:
        self._strangers: dict[web.RequestHandler, None] = {}
        """The oldest first."""
        self._owned: dict[object, set[web.RequestHandler]] = {}
        self._owners: dict[web.RequestHandler, object] = {}

    def __len__(self) -> int:
        return len(self._strangers) + len(self._owners)

    def opened(self, connection: web.RequestHandler) -> None:
        """Somebody has connected."""
        self._strangers[connection] = None
        if len(self._strangers) > STRANGERS_MAX:
            oldest = next(iter(self._strangers))
            del self._strangers[oldest]
            oldest.force_close()

    def closed(self, connection: web.RequestHandler) -> None:
        """The connection is no more."""
        self._strangers.pop(connection, None)
        owner = self._owners.pop(connection, None)
        if owner is not None:
            self._owned[owner].discard(connection)
            if not self._owned[owner]:
                del self._owned[owner]

    def belongs(self, connection: web.RequestHandler, owner: object) -> bool:
        """Notes that the connection is ``owner``'s; ``False`` if that one has as many as it may."""
        if connection in self._owners:
            return True
        owned = self._owned.get(owner, set())
        if len(owned) >= EACH_MAX:
            return False
        self._strangers.pop(connection, None)
        self._owners[connection] = owner
        self._owned[owner] = owned | {connection}
        return True

    def close_all(self, owner: object) -> None:
        """Closes what is left of ``owner``'s."""
        for connection in list(self._owned.get(owner, ())):
            connection.force_close()


class _Connection(web.RequestHandler):
    """A connection that is counted."""

    def __init__(self, server: web.Server, connections: Connections, options: dict[str, Any]) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **options)
        self._connections = connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It begins."""
        super().connection_made(transport)
        self._connections.opened(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """It has ended."""
        self._connections.closed(self)
        super().connection_lost(exc)


class LoopbackSite(web.BaseSite):
    """Listens on a free port of 127.0.0.1, and has the connections counted."""

    def __init__(self, runner: web.AppRunner, connections: Connections, options: dict[str, Any]) -> None:
        """``options`` are those of ``RequestHandler``."""
        super().__init__(runner, backlog=_BACKLOG)
        self._connections = connections
        self._options = options
        self.authority = ""
        """Host and port, once it has started."""

    @property
    def name(self) -> str:
        """The base URL."""
        return f"http://{self.authority}"

    async def start(self) -> None:
        """Binds the socket and begins to accept."""
        await super().start()
        server = self._runner.server
        assert server is not None, "the runner is set up"
        listening = await asyncio.get_running_loop().create_server(
            lambda: _Connection(server, self._connections, self._options), "127.0.0.1", 0, backlog=_BACKLOG
        )
        self._server = listening
        host, port = listening.sockets[0].getsockname()
        self.authority = f"{host}:{port}"
