"""OAuth 1 nonces (RFC 5849, 3.3): remembers signed requests while their timestamps are good, so none is taken twice.

The memory is this process's own, which is safe on one node: what was signed before the process began is refused, since
an earlier one may have seen it, and ``replay_marks`` has what clocks ahead had signed. Nodes that accept the same keys
must share it, in one atomic step, behind a store: otherwise a request could be replayed once on each.
"""

import hashlib
import os

from taskd.model import errors
from taskd.model.clock import Clock
from taskd.model.errors import ContractError
from taskd.model.shares import Shares

WINDOW_S = 300
"""How far a request's timestamp may be from our clock."""
_REMEMBERED_MAX = 1_000_000
"""Of one signer (some 60 MiB): past this their requests are refused until older ones fall out of the window. If others
sign, too, it is less for each; all together have a third more."""


class Nonces:
    """The requests seen in the window, as keyed digests by timestamp."""

    def __init__(self, clock: Clock, remembered_max: int = _REMEMBERED_MAX) -> None:
        self._clock = clock
        self._began_s = clock() // 1000
        self._remembered_max = remembered_max
        self._salt = os.urandom(16)
        self._digests: dict[int, dict[str, set[int]]] = {}
        """By timestamp and signer."""
        self._shares: Shares[str] = Shares()

    def __len__(self) -> int:
        return self._shares.total

    def check_timestamp(self, timestamp_s: int) -> None:
        """Raises ``ContractError`` (``REPLAYED``) unless a request of ``timestamp_s`` may still be new."""
        now_s = self._clock() // 1000
        if abs(now_s - timestamp_s) > WINDOW_S:
            message = f"oauth_timestamp is more than {WINDOW_S} s from this service's clock, which says {now_s}."
            raise ContractError(errors.REPLAYED, message)
        if timestamp_s < self._began_s:
            message = "The request was signed before this service started, or its clock was set since; sign it anew."
            raise ContractError(errors.REPLAYED, message)

    def remember(self, timestamp_s: int, *parts: str, signer: str = "") -> None:
        """Remembers a genuine request of ``signer``, identified by ``parts``.

        :raises ContractError: ``REPLAYED`` if it was seen; ``TOO_MANY_REQUESTS`` if there are too many of theirs.
        """
        self._evict_old()
        digest = self._digest(parts)
        seen = self._digests.setdefault(timestamp_s, {}).setdefault(signer, set())
        if digest in seen:
            raise ContractError(errors.REPLAYED, "This very request came before; sign each one with a new oauth_nonce.")
        if not self._shares.has_room(signer, self._remembered_max):
            raise ContractError(errors.TOO_MANY_REQUESTS, "Too many signed requests; try again in a moment.")
        seen.add(digest)
        self._shares.take(signer)

    def _digest(self, parts: tuple[str, ...]) -> int:
        text = "\0".join(parts).encode("utf-8", "surrogateescape")
        return int.from_bytes(hashlib.blake2b(text, digest_size=8, key=self._salt).digest())

    def _evict_old(self) -> None:
        oldest_s = self._clock() // 1000 - WINDOW_S
        for timestamp_s in [old for old in self._digests if old < oldest_s]:
            for signer, seen in self._digests.pop(timestamp_s).items():
                if seen:
                    self._shares.give_back(signer, len(seen))
            self._began_s = max(self._began_s, timestamp_s + 1)  # or it could come again once the clock is set back
