"""Looking up where a host is, and refusing addresses that deliveries may not go to.

What was looked up is connected to, and not looked up again: a name that leads elsewhere the next time gains nothing.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from taskd.webhooks.addresses import AllowedAddresses

_LOOKUPS_AT_ONCE = 16

Found = Sequence[tuple[Any, ...]]
"""As ``socket.getaddrinfo`` gives it."""
Lookup = Callable[[str, int], Awaitable[Found]]


class ForbiddenAddressError(OSError):
    """Deliveries may not go there. Says nothing of where that is, which whoever made the webhook may not know."""

    def __init__(self) -> None:
        super().__init__("its address is not globally routable, nor in a network that [webhooks] allow_networks names")


class SystemLookup:
    """Asks the system, in threads of its own: names that take long to look up hold up no other part of taskd.

    Nor each other, where many ask for the same one.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_LOOKUPS_AT_ONCE, thread_name_prefix="taskd-lookup")
        self._under_way: dict[tuple[str, int], asyncio.Future[Found]] = {}

    async def __call__(self, host: str, port: int) -> Found:
        """What the system knows of ``host``; raises ``OSError``."""
        key = (host, port)
        if (lookup := self._under_way.get(key)) is None:
            loop = asyncio.get_running_loop()
            lookup = self._under_way[key] = loop.run_in_executor(self._threads, _getaddrinfo, host, port)
            lookup.add_done_callback(lambda done: self._ended(key, done))
        return await asyncio.shield(lookup)

    def close(self) -> None:
        """Looks up nothing more. Waits for no thread: the system may take its time."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _ended(self, key: tuple[str, int], lookup: "asyncio.Future[Found]") -> None:
        del self._under_way[key]
        if not lookup.cancelled():
            lookup.exception()  # nobody may be waiting for it any more


def _getaddrinfo(host: str, port: int) -> Found:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


class CheckedResolver(AbstractResolver):
    """The resolver of an aiohttp connector: gives addresses that are allowed, all of them, or none."""

    def __init__(self, allowed: AllowedAddresses, lookup: Lookup) -> None:
        self._allowed = allowed
        self._lookup = lookup

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Where ``host`` is; raises ``OSError``, a ``ForbiddenAddressError`` if any of it is not allowed."""
        found = await self._lookup(host, port)
        if not all(self._allowed.include(str(address[0])) for *_, address in found):
            raise ForbiddenAddressError
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=kind,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, _, _, address in found
        ]

    async def close(self) -> None:
        """Nothing is open."""


def checked_socket(allowed: AllowedAddresses) -> Callable[[tuple[Any, ...]], socket.socket]:
    """Makes the sockets of a connector: the last word on where one goes, also for a URL that names an address."""

    def make(address_info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, address = address_info
        if not allowed.include(str(address[0])):
            raise ForbiddenAddressError
        return socket.socket(family, kind, protocol)

    return make
