"""Where a request comes from: the address of the peer, or what a proxy that is trusted says its own peer was."""

import ipaddress
from collections.abc import Iterable

from aiohttp import web

_FORWARDED = "X-Forwarded-For"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class ClientAddresses:
    """Tells where requests come from.

    A proxy adds its own peer at the end, after whatever the client has sent: of the last line of the header the last
    entry is the only one that the proxy vouches for.
    """

    def __init__(self, trusted_proxies: Iterable[str]) -> None:
        """``trusted_proxies`` are networks, or addresses."""
        self._trusted = [ipaddress.ip_network(network) for network in trusted_proxies]

    def of(self, request: web.Request) -> str:
        """The address that ``request`` comes from; empty if its peer has none."""
        peer = request.remote or ""
        lines = request.headers.getall(_FORWARDED, ())
        if not lines or not self._is_trusted(peer):
            return peer
        forwarded = lines[-1].rpartition(",")[2].strip()
        return forwarded if _address(forwarded) else peer

    def _is_trusted(self, peer: str) -> bool:
        address = _address(peer)
        return address is not None and any(address in network for network in self._trusted)


def _address(text: str) -> Address | None:
    """``text`` as an address; IPv4 written as IPv6, as a socket for both has it, is IPv4."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
