"""An aiohttp site whose connections are of a class of ours, which its own ``TCPSite`` has no way to set."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from aiohttp import web

BACKLOG = 1024


class ListeningSite(web.BaseSite):
    """Listens on ``host`` and ``port`` (0 takes a free one); ``make_connection`` makes each connection's protocol."""

    def __init__(
        self,
        runner: web.AppRunner,
        host: str,
        port: int,
        make_connection: Callable[[web.Server], web.RequestHandler],
        listener: socket.socket | None = None,
    ) -> None:
        """``runner`` has been set up. A ``listener`` that listens already is taken instead of host and port."""
        super().__init__(runner, backlog=BACKLOG)
        self._host = host
        self._port = port
        self._make_connection = make_connection
        self._listener = listener

    @property
    def authority(self) -> str:
        """Host and port; the port that was taken, once it has started."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{host}:{self._port}"

    @property
    def name(self) -> str:
        """The base URL."""
        return f"http://{self.authority}"

    async def start(self) -> None:
        """Binds the socket and begins to accept."""
        await super().start()
        server = self._runner.server
        assert server is not None, "the runner is set up"
        where: dict[str, Any] = {"host": self._host, "port": self._port}
        if self._listener is not None:
            where = {"sock": self._listener}
        listening = await asyncio.get_running_loop().create_server(
            lambda: self._make_connection(server), backlog=BACKLOG, **where
        )
        self._server = listening
        self._port = listening.sockets[0].getsockname()[1]
