"""Few things that many use in turn: whoever waits is served round robin by key.

So nobody waits for the whole queue of somebody else.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class FairPool(Generic[T]):
    """Hands things out. Those of one key get theirs in the order in which they asked."""

    def __init__(self, things: Iterable[T]) -> None:
        self._free = list(things)
        self._waiting: dict[str | None, deque[asyncio.Future[T]]] = {}
        """By key, the one whose turn is next first. No queue is empty."""

    async def take(self, key: str | None) -> T:
        """One of the things, when it is the turn of ``key``; to be given back."""
        if self._free:
            return self._free.pop()
        turn: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, deque()).append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._leave(key, turn)
            else:  # the turn had come in the same moment
                self.give_back(turn.result())
            raise

    def give_back(self, thing: T) -> None:
        """It is free for whoever is next."""
        turn = self._next_turn()
        if turn is None:
            self._free.append(thing)
        else:
            turn.set_result(thing)

    def _next_turn(self) -> "asyncio.Future[T] | None":
        while self._waiting:
            key = next(iter(self._waiting))
            queue = self._waiting.pop(key)
            turn = queue.popleft()
            if queue:
                self._waiting[key] = queue
            if not turn.done():
                return turn
        return None

    def _leave(self, key: str | None, turn: "asyncio.Future[T]") -> None:
        queue = self._waiting.get(key, deque())
        if turn in queue:
            queue.remove(turn)
            if not queue:
                del self._waiting[key]
