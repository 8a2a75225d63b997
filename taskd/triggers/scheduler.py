"""Recurring work: has the store fire the schedules whose time has come.

What is due is asked of the wall clock each time, and no sleep is longer than a second. So a clock that jumps ahead is
noticed at once, and one that is set back makes schedules wait: an occurrence that was made is not made again.
"""

import asyncio
import logging
from collections.abc import Callable

from taskd.model.clock import Clock
from taskd.store.base import Change, Occurrence, StoreUnavailableError, TaskStore
from taskd.system.background import AT_ONCE, LOOK_AGAIN_S, BackgroundLoop
from taskd.telemetry.metrics import Telemetry

log = logging.getLogger(__name__)

_SCHEDULES_PER_STEP = 500


class Scheduler:
    """Fires the schedules of one store. :meth:`start` and :meth:`stop` bracket its life."""

    def __init__(
        self,
        store: TaskStore,
        *,
        clock: Clock | None = None,
        on_fatal: Callable[[BaseException], None] | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        """``on_fatal`` is told of a fault that firing cannot go on after; the daemon is to end then."""
        self._store = store
        self._telemetry = telemetry or Telemetry()
        self._loop = BackgroundLoop("scheduler", self._step, clock or store.now_ms, on_fatal)

    async def start(self) -> None:
        """Begins to fire; what was missed while nobody did collapses into one task a schedule."""
        self._store.on_change(Change.SCHEDULES, self._loop.wake)
        self._loop.start()

    async def stop(self) -> None:
        """Fires no more, and waits for a step that has begun. Idempotent."""
        await self._loop.stop()

    async def _step(self) -> int | None:
        occurrences = await self._fire()
        for occurrence in occurrences:
            self._report(occurrence)
        return AT_ONCE if occurrences else self._store.next_fire_ms()

    async def _fire(self) -> list[Occurrence]:
        try:
            return await self._store.fire(_SCHEDULES_PER_STEP)
        except StoreUnavailableError as error:
            log.warning("No schedule is fired for now: %s", error)
            await asyncio.sleep(LOOK_AGAIN_S)
            return []

    def _report(self, occurrence: Occurrence) -> None:
        task, skipped = occurrence.task, occurrence.skipped
        self._telemetry.fired(skipped)
        if skipped:
            log.warning(
                "Schedule %s (%s) was late: %d later occurrences were skipped, task %s stands for them all.",
                *(task.schedule_id, task.function_name, skipped, task.id),
            )
