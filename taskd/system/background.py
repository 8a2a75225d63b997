"""What background services have in common: they sleep by the wall clock, and never fail unnoticed."""

import asyncio
import logging
from collections.abc import Callable

from taskd.model.clock import Clock

log = logging.getLogger(__name__)

LOOK_AGAIN_S = 1.0
"""The longest sleep: wall clocks jump, and a store that was unavailable comes back."""


class WakeUp:
    """Sleeps until it is time, or until :meth:`set` is called."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._called = asyncio.Event()

    def set(self) -> None:
        """Ends the sleep, or keeps the next one from beginning."""
        self._called.set()

    def clear(self) -> None:
        """Forgets earlier calls of :meth:`set`, for whoever is about to check what they were for."""
        self._called.clear()

    async def sleep(self, until_ms: int | None) -> None:
        """Returns when :meth:`set` is called, when it is ``until_ms``, or when a second has passed."""
        delay_s = LOOK_AGAIN_S
        if until_ms is not None:
            delay_s = min(delay_s, max(0, until_ms - self._clock()) / 1000)
        alarm = asyncio.get_running_loop().call_later(delay_s, self._called.set)
        await self._called.wait()
        alarm.cancel()


def watch(background: "asyncio.Task[None]", what: str, on_fatal: Callable[[BaseException], None] | None = None) -> None:
    """For a task that has ended: if it died, the daemon must die with it, since work would silently stop."""
    if background.cancelled() or (error := background.exception()) is None:
        return
    log.critical("%s has failed.", what, exc_info=error)
    if on_fatal is not None:
        on_fatal(error)
