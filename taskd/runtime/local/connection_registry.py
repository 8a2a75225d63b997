"""Connections to the Runtime API: how many are kept, so that no sandbox can take what the others need.

A connection is unidentified until a request on it names a sandbox. A runtime sends one at once, so when too many are
unidentified the oldest is closed. A sandbox has a few connections, and is refused more.
"""

import asyncio
from typing import Any

from aiohttp import web

UNIDENTIFIED_MAX = 256
PER_SANDBOX_MAX = 16
"""Connections of one sandbox: Lambda's runtimes have one, or two."""


class ConnectionRegistry:
    """The open connections, by the sandbox that owns them."""

    def __init__(self) -> None:
        self._unidentified: dict[web.RequestHandler, None] = {}
        """The oldest first."""
        self._owned: dict[object, set[web.RequestHandler]] = {}
        self._owners: dict[web.RequestHandler, object] = {}

    def __len__(self) -> int:
        return len(self._unidentified) + len(self._owners)

    def add(self, connection: web.RequestHandler) -> None:
        """``connection`` has been opened."""
        self._unidentified[connection] = None
        if len(self._unidentified) > UNIDENTIFIED_MAX:
            oldest = next(iter(self._unidentified))
            del self._unidentified[oldest]
            oldest.force_close()

    def remove(self, connection: web.RequestHandler) -> None:
        """``connection`` has been closed."""
        self._unidentified.pop(connection, None)
        owner = self._owners.pop(connection, None)
        if owner is not None:
            self._owned[owner].discard(connection)
            if not self._owned[owner]:
                del self._owned[owner]

    def assign(self, connection: web.RequestHandler, owner: object) -> bool:
        """Makes ``owner`` the connection's owner; ``False`` if that one has as many as it may."""
        if connection in self._owners:
            return True
        owned = self._owned.get(owner, set())
        if len(owned) >= PER_SANDBOX_MAX:
            return False
        self._unidentified.pop(connection, None)
        self._owners[connection] = owner
        self._owned[owner] = owned | {connection}
        return True

    def close_all(self, owner: object) -> None:
        """Closes the connections of ``owner``."""
        for connection in list(self._owned.get(owner, ())):
            connection.force_close()


class RegisteredConnection(web.RequestHandler):
    """A connection that is in the registry while it is open. ``options`` are those of ``RequestHandler``."""

    def __init__(self, server: web.Server, connections: ConnectionRegistry, options: dict[str, Any]) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **options)
        self._connections = connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It begins."""
        super().connection_made(transport)
        self._connections.add(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """It has ended."""
        self._connections.remove(self)
        super().connection_lost(exc)
