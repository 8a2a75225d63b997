"""The memory of bodies that turn out larger than their heads said: packed ones, and ones of unknown length.

Knows counts, not where bodies come from: whoever reads one says what it takes, before it takes it.
"""

from typing import Protocol

from aiohttp import web


class Places(Protocol):
    """What counts the bytes of all bodies."""

    def grow(self, size_bytes: int, own_bytes: int) -> None:
        """A body that takes ``own_bytes`` takes ``size_bytes`` more; raises ``TOO_MANY_REQUESTS``."""


class BodyRoom:
    """What one such body takes, as long as its request lasts."""

    def __init__(self, places: Places, announced_bytes: int) -> None:
        """``announced_bytes`` are counted already."""
        self._places = places
        self._announced_bytes = announced_bytes
        self.grown_bytes = 0
        """What is counted beyond that."""

    def require(self, size_bytes: int) -> None:
        """The body takes ``size_bytes`` in all from now on.

        :raises ContractError: ``TOO_MANY_REQUESTS`` if there is no room for that; nothing more is counted then.
        """
        own_bytes = self._announced_bytes + self.grown_bytes
        if size_bytes > own_bytes:
            self._places.grow(size_bytes - own_bytes, own_bytes)
            self.grown_bytes += size_bytes - own_bytes


BODY_ROOM = web.RequestKey("body_room", BodyRoom)
"""On requests whose heads do not say how large their bodies will be, and on no others."""
