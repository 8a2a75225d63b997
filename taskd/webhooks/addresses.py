"""Which addresses deliveries may go to, so that nobody has taskd call what only taskd can reach.

Those that are globally routable, and those that the operator has named. ``ipaddress`` knows which are, in a version
that depends on Python's; what matters is therefore written out here and asked for besides.
"""

import ipaddress
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

_NOT_GLOBAL_V4 = tuple(
    IPv4Network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
        *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    )
)
_GLOBAL_V6 = IPv6Network("2000::/3")
_NOT_GLOBAL_V6 = tuple(
    # with Teredo in the first, 6to4 in the third: tunnels to addresses of any kind
    IPv6Network(text)
    for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)
_NAT64 = IPv6Network("64:ff9b::/96")
_V4_BITS = 0xFFFFFFFF

Network = IPv4Network | IPv6Network


class AllowedAddresses:
    """What is globally routable, and ``networks``."""

    def __init__(self, networks: Iterable[str] = ()) -> None:
        self._networks: list[Network] = [ipaddress.ip_network(network) for network in networks]

    def include(self, text: str) -> bool:
        """Whether deliveries may go to the address ``text``; not if it is none."""
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return False
        behind = _unwrapped(address)
        return _is_global(behind) or any(each in network for network in self._networks for each in (address, behind))


def _unwrapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The address that packets end up at: behind a mapped one, or one of NAT64, is another."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & _V4_BITS)
    return address.ipv4_mapped or address


def _is_global(address: IPv4Address | IPv6Address) -> bool:
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_GLOBAL_V4)
    return address in _GLOBAL_V6 and not any(address in network for network in _NOT_GLOBAL_V6)
