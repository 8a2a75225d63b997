"""Shares of what there is only so much of: one caller alone has all that was promised, and others still get theirs.

These are dynamic thresholds (Choudhury and Hahne, "Dynamic Queue Length Thresholds for Shared-Memory Packet Switches",
1998): whoever holds less than three times of what is left may take more. One owner alone gets to ``alone_max``, where a
quarter of that is left; the next one to a quarter of ``alone_max``, though the first gives nothing back, the one after
that to a quarter of this, and so on. Where things are given back and taken anew, all come to hold the same. Nobody has
to know who will ask. What all hold together stays below four thirds of ``alone_max``: the reserve comes on top, so that
a limit is no tighter for a caller on their own than it says.
"""

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

_TIMES_OF_WHAT_IS_LEFT = 3


def has_room(held: int, held_by_all: int, alone_max: float) -> bool:
    """Whether an owner that holds ``held`` may take one more."""
    return held + _TIMES_OF_WHAT_IS_LEFT * held_by_all < (_TIMES_OF_WHAT_IS_LEFT + 1) * alone_max


class Shares(Generic[K]):
    """How much each owner holds."""

    __slots__ = ("_held", "total")

    def __init__(self) -> None:
        self._held: dict[K, int] = {}
        """Without zeros."""
        self.total = 0

    def held(self, owner: K) -> int:
        """How much ``owner`` holds."""
        return self._held.get(owner, 0)

    def all(self) -> Iterator[tuple[K, int]]:
        """Each owner that holds something, and how much."""
        return iter(self._held.items())

    def has_room(self, owner: K, alone_max: float) -> bool:
        """Whether ``owner`` may take one more."""
        return has_room(self.held(owner), self.total, alone_max)

    def take(self, owner: K) -> None:
        """``owner`` holds one more."""
        self._held[owner] = self._held.get(owner, 0) + 1
        self.total += 1

    def give_back(self, owner: K, count: int = 1) -> None:
        """``owner`` holds ``count`` less."""
        self._held[owner] -= count
        self.total -= count
        if not self._held[owner]:
            del self._held[owner]
