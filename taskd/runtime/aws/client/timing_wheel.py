"""Many deadlines on one timer: a deadline is an entry in a coarse slot of time, and costs no timer."""

import asyncio
import math
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Deadlines(Generic[T]):
    """Calls ``expired(item)`` for items not removed in time: never early, at most ``slot_s`` late."""

    def __init__(self, expired: Callable[[T], None], slot_s: float = 0.1) -> None:
        self._loop = asyncio.get_running_loop()
        self._expired = expired
        self._slot_s = slot_s
        self._slots: dict[int, set[T]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._next = 0
        """The slot that the timer waits for, if there is a timer."""

    def add(self, item: T, after_s: float) -> int:
        """The deadline is ``after_s`` seconds from now; gives its slot, for :meth:`remove`."""
        number = math.ceil((self._loop.time() + after_s) / self._slot_s)
        slot = self._slots.get(number)
        if slot is None:
            slot = self._slots[number] = set()
            self._arm(number)
        slot.add(item)
        return number

    def remove(self, item: T, number: int) -> None:
        """The item made it in time. Nothing happens if it did not."""
        if slot := self._slots.get(number):
            slot.discard(item)

    def clear(self) -> None:
        """Forgets every deadline."""
        self._slots.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, number: int) -> None:
        if self._timer is not None:
            if self._next <= number:
                return
            self._timer.cancel()
        self._next = number
        self._timer = self._loop.call_at(number * self._slot_s, self._tick)

    def _tick(self) -> None:
        """Also drops the slots that emptied: their number is bounded by the longest deadline."""
        self._timer = None
        due = math.floor(self._loop.time() / self._slot_s)
        passed = [self._slots.pop(number) for number in sorted(self._slots) if number <= due]
        if self._slots:
            self._arm(min(self._slots))
        for slot in passed:
            for item in slot:
                self._expired(item)
