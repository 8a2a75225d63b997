"""What background services have in common: they sleep by the wall clock, and never fail unnoticed."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from taskd.model.clock import Clock

log = logging.getLogger(__name__)

LOOK_AGAIN_S = 1.0
"""The longest sleep: wall clocks jump, and a store that was unavailable comes back."""
AT_ONCE = -(2**63)
"""What a step returns when there is more to do: a moment before every one that a task could be due at."""


class BackgroundLoop:
    """Takes one step after the other, from :meth:`start` to :meth:`stop`, and never ends unnoticed.

    ``step`` does some work and returns until when there is none: :data:`AT_ONCE` to go on at once, milliseconds of the
    clock, or ``None`` for as long as nobody calls :meth:`wake`. No sleep is longer than a second.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], Awaitable[int | None]],
        clock: Clock,
        on_fatal: Callable[[BaseException], None] | None = None,
    ) -> None:
        """``on_fatal`` is told of the fault that ended it; the daemon is to end then, or work would silently stop."""
        self._name = name
        self._step = step
        self._clock = clock
        self._on_fatal = on_fatal
        self._woken = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self.stopping = False
        """Whether no more steps are to begin."""

    def start(self) -> None:
        """Begins."""
        self._running = asyncio.create_task(self._run(), name=self._name)
        self._running.add_done_callback(self.watch)

    def wake(self) -> None:
        """There may be something to do."""
        self._woken.set()

    async def stop(self) -> None:
        """Takes no more steps, and waits for the one that has begun. Idempotent."""
        self.stopping = True
        self.wake()
        if self._running is not None:
            await asyncio.wait([self._running])

    async def _run(self) -> None:
        while not self.stopping:
            self._woken.clear()  # what earlier calls were for, this step sees
            until_ms = await self._step()
            if until_ms != AT_ONCE:
                await self._sleep(until_ms)

    async def _sleep(self, until_ms: int | None) -> None:
        delay_s = LOOK_AGAIN_S
        if until_ms is not None:
            delay_s = min(delay_s, max(0, until_ms - self._clock()) / 1000)
        alarm = asyncio.get_running_loop().call_later(delay_s, self._woken.set)
        await self._woken.wait()
        alarm.cancel()

    def watch(self, ended: "asyncio.Task[None]") -> None:
        """For a task that has ended and belongs to this work: reports that it died, if it did."""
        if ended.cancelled() or (error := ended.exception()) is None:
            return
        log.critical("The %s has failed.", self._name, exc_info=error)
        if self._on_fatal is not None:
            self._on_fatal(error)
