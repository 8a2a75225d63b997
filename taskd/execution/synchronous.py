"""Calls that somebody waits for: each runs to its end, whatever becomes of who waits, and is let finish at the end."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from taskd.model.errors import UNAVAILABLE, ContractError, ErrorKind

T = TypeVar("T")


class AttendedCalls:
    """Everything under way that a client waits for. :meth:`drain`, then :meth:`join`, end it."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()
        self._stopping = False

    @property
    def in_flight(self) -> int:
        """Calls that have not come to their end."""
        return len(self._running)

    async def attend(self, call: Coroutine[Any, Any, T]) -> T:
        """What ``call`` gives. It goes on when the waiting is cancelled, since what it began has to be put down.

        :raises ContractError: ``UNAVAILABLE`` after :meth:`drain`.
        """
        if self._stopping:
            call.close()
            raise ContractError(UNAVAILABLE, "The service is shutting down; try again soon.")
        running = asyncio.create_task(call)
        self._running.add(running)
        running.add_done_callback(self._ended)
        await asyncio.wait([running])  # being cancelled here leaves it running
        return running.result()

    async def drain(self, grace_s: float) -> int:
        """Begins no more, and waits for what runs, at most ``grace_s``. Gives how many still run. Idempotent."""
        self._stopping = True
        if self._running:
            await asyncio.wait(self._running, timeout=grace_s)
        return len(self._running)

    async def join(self) -> None:
        """Waits for all that runs. The runtime has stopped, so every call has its answer."""
        while self._running:
            await asyncio.wait(self._running)

    def _ended(self, running: "asyncio.Task[Any]") -> None:
        self._running.discard(running)
        if not running.cancelled():
            running.exception()  # looked at, in case nobody waits for it any more


class Slots:
    """How many calls of one kind may be made at once."""

    def __init__(self, maximum: int, full: ErrorKind, setting: str) -> None:
        """``full`` is what a call too many is told, and ``setting`` where that can be changed."""
        self._maximum = maximum
        self._full = full
        self._setting = setting
        self._taken = 0

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Holds a slot meanwhile. Raises ``ContractError`` if none is free."""
        if self._taken >= self._maximum:
            message = f"{self._maximum} such calls run already, as many as may ({self._setting}); try again soon."
            raise ContractError(self._full, message)
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1
