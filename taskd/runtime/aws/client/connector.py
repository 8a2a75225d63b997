"""Opening connections: addresses of a host, TCP, TLS. Knows nothing of HTTP."""

import asyncio
import socket
import ssl
from collections.abc import Callable

from taskd.model.errors import TaskdError
from taskd.runtime.aws.client.connection import Connection, ConnectionFactory
from taskd.runtime.aws.client.endpoint import Endpoint

_ADDRESS_TTL_S = 30.0
_ADDRESSES_TRIED_MAX = 3
_SOCKET_OPTIONS = (
    (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
    (socket.IPPROTO_TCP, "TCP_NODELAY", 1),
    # NATs forget connections idle for 350 s, and a function may run for 300 s without a byte either way.
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE", 30),
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 15),
    (socket.IPPROTO_TCP, "TCP_KEEPCNT", 4),
)


class ConnectError(TaskdError):
    """No connection could be opened; nothing was sent."""


class HostAddresses:
    """The addresses of one host: looked up once for all who wait, and used round-robin.

    ``now_s`` is a monotonic clock in seconds.
    """

    def __init__(self, endpoint: Endpoint, now_s: Callable[[], float]) -> None:
        self._endpoint = endpoint
        self._now_s = now_s
        self._known: list[str] = []
        self._expiry_s = 0.0
        self._lookup: asyncio.Task[list[str]] | None = None

    async def rotated(self) -> list[str]:
        """All known addresses, rotated by one each time. Raises ``OSError`` if there are none."""
        if not self._known or self._now_s() >= self._expiry_s:
            await self._look_up()
        self._known.append(self._known.pop(0))
        return list(self._known)

    def discard(self, address: str) -> None:
        """The address is not given out again until the host has been looked up anew."""
        if address in self._known:
            self._known.remove(address)

    async def close(self) -> None:
        """Ends a lookup that is under way."""
        if self._lookup is not None:
            self._lookup.cancel()
            await asyncio.wait([self._lookup])

    async def _look_up(self) -> None:
        """One lookup at a time; who gives up waiting for it does not end it for the others."""
        if self._lookup is None or self._lookup.done():
            self._lookup = asyncio.create_task(self._resolve())
        self._known = list(await asyncio.shield(self._lookup))
        self._expiry_s = self._now_s() + _ADDRESS_TTL_S

    async def _resolve(self) -> list[str]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(self._endpoint.host, self._endpoint.port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
        if not addresses:
            raise OSError(f"{self._endpoint.host} has no address")
        return addresses


class Connector:
    """Opens connections to one endpoint. ``tls`` is used if the endpoint wants it."""

    def __init__(
        self,
        endpoint: Endpoint,
        make: ConnectionFactory,
        *,
        tls: ssl.SSLContext,
        timeout_s: float,
        now_s: Callable[[], float],
    ) -> None:
        self._endpoint = endpoint
        self._make = make
        self._tls = tls if endpoint.tls else None
        self._timeout_s = timeout_s
        self._addresses = HostAddresses(endpoint, now_s)

    async def connect(self) -> Connection:
        """A fresh connection; :class:`ConnectError`, saying why, if there is none within the time allowed."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._connect()
        except TimeoutError as error:
            raise self._failure(f"no answer within {self._timeout_s:g} s") from error
        except OSError as error:
            raise self._failure(str(error)) from error

    async def close(self) -> None:
        """Frees what :meth:`connect` keeps."""
        await self._addresses.close()

    async def _connect(self) -> Connection:
        addresses = (await self._addresses.rotated())[:_ADDRESSES_TRIED_MAX]
        refusals = []
        for address in addresses[:-1]:
            try:
                async with asyncio.timeout(self._timeout_s / len(addresses)):
                    return await self._connect_to(address)
            except OSError as error:  # a time-out is one, too
                self._addresses.discard(address)
                refusals.append(error)
        try:
            return await self._connect_to_last(addresses[-1])
        except OSError as error:
            if not refusals:
                raise
            raise _all_of([*refusals, error]) from error

    async def _connect_to_last(self, address: str) -> Connection:
        try:
            return await self._connect_to(address)
        except (OSError, asyncio.CancelledError):
            self._addresses.discard(address)
            raise

    async def _connect_to(self, address: str) -> Connection:
        name = self._endpoint.host if self._tls else None
        transport, connection = await asyncio.get_running_loop().create_connection(
            self._make, address, self._endpoint.port, ssl=self._tls, server_hostname=name
        )
        _set_options(transport.get_extra_info("socket"))
        return connection

    def _failure(self, why: str) -> ConnectError:
        return ConnectError(f"Cannot connect to {self._endpoint}: {why}.")


def _all_of(refusals: list[OSError]) -> OSError:
    """One error that says why each address failed: the reason to look into may be that of any."""
    return OSError("; ".join(dict.fromkeys(str(error) or "no answer in time" for error in refusals)))


def _set_options(sock: socket.socket) -> None:
    for level, option, value in _SOCKET_OPTIONS:
        if hasattr(socket, option):  # the names of the keep-alive options differ on macOS
            sock.setsockopt(level, getattr(socket, option), value)


def tls_context(ca_bundle: str | None) -> ssl.SSLContext:
    """Trusts the machine's certificate authorities, or those in the file ``ca_bundle``."""
    try:
        context = ssl.create_default_context(cafile=ca_bundle)
    except OSError as error:
        raise TaskdError(
            f"The certificate bundle {ca_bundle!r} cannot be read: {error}. "
            "Correct AWS_CA_BUNDLE, or ca_bundle in the AWS configuration file."
        ) from error
    context.set_alpn_protocols(["http/1.1"])
    return context
