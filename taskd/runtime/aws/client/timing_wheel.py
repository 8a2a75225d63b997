"""A timing wheel: many deadlines on one timer of the event loop.

After Varghese and Lauck, "Hashed and Hierarchical Timing Wheels" (SOSP 1987): a deadline is an entry in the slot of its
tick, so adding and removing one takes constant time. The slots in use are in a hash table by tick instead of a ring,
so a deadline may lie any distance ahead, and the timer is armed for the first of them instead of every tick.
"""

import asyncio
import math
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class TimingWheel(Generic[T]):
    """Calls ``expired(item)`` for items not removed in time: never early, at most ``tick_s`` late."""

    def __init__(self, expired: Callable[[T], None], tick_s: float = 0.1) -> None:
        self._loop = asyncio.get_running_loop()
        self._expired = expired
        self._tick_s = tick_s
        self._slots: dict[int, set[T]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._armed_tick = 0
        """The tick that the timer is set for, if there is a timer."""

    def add(self, item: T, after_s: float) -> int:
        """The deadline is ``after_s`` seconds from now; returns its tick, for :meth:`remove`."""
        tick = math.ceil((self._loop.time() + after_s) / self._tick_s)
        slot = self._slots.get(tick)
        if slot is None:
            slot = self._slots[tick] = set()
            self._arm(tick)
        slot.add(item)
        return tick

    def remove(self, item: T, tick: int) -> None:
        """The item does not expire. Nothing happens if it has."""
        if slot := self._slots.get(tick):
            slot.discard(item)

    def clear(self) -> None:
        """Removes every deadline."""
        self._slots.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, tick: int) -> None:
        if self._timer is not None:
            if self._armed_tick <= tick:
                return
            self._timer.cancel()
        self._armed_tick = tick
        self._timer = self._loop.call_at(tick * self._tick_s, self._expire_due)

    def _expire_due(self) -> None:
        """Also drops the slots that emptied: their number is bounded by the longest deadline."""
        self._timer = None
        due = math.floor(self._loop.time() / self._tick_s)
        passed = [self._slots.pop(tick) for tick in sorted(self._slots) if tick <= due]
        if self._slots:
            self._arm(min(self._slots))
        for slot in passed:
            for item in slot:
                self._expired(item)
