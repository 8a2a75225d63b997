"""Which names the service answers to.

A web page may have its own name lead to this address (DNS rebinding): a browser then takes the service for the page's
own server, and lets the page read all of it. The ``Host`` header still has the page's name.
"""

import ipaddress
import re
from collections.abc import Iterable

_HOST = re.compile(r"(?:\[(?P<literal>[0-9A-Fa-f:.]+)\]|(?P<name>[^\s:\[\]]+))(?::[0-9]*)?")
_LOCALHOST = "localhost"


class HostNames:
    """The names of a service that listens on ``listen_host``, besides ``localhost``: ``names``, whatever the port.

    A host that is an IP address is ours if it is the one listened on; where that is a wildcard or a name, any is.
    """

    def __init__(self, listen_host: str, names: Iterable[str]) -> None:
        self._address = _address(listen_host)
        self._takes_any_address = self._address is None or self._address.is_unspecified
        self._names = frozenset(map(_normal, (_LOCALHOST, listen_host, *names)))

    def is_ours(self, host: str) -> bool:
        """Whether the ``Host`` header has one of the names. One that cannot be parsed has none."""
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = _normal(match["literal"] or match["name"])
        if name in self._names:
            return True
        address = _address(name)
        return address is not None and (self._takes_any_address or address == self._address)


def _normal(name: str) -> str:
    """How names are compared: case does not count, nor does the root's dot."""
    return name.lower().removesuffix(".")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
