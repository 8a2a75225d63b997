"""Recurring work: has the store fire the schedules whose time has come.

What is due is asked of the wall clock each time, and no sleep is longer than a second. So a clock that jumps ahead is
noticed at once, and one that is set back makes schedules wait: an occurrence that was made is not made again.
"""

import asyncio
import logging
from collections.abc import Callable

from taskd.model.clock import Clock
from taskd.store.base import Change, Occurrence, StoreUnavailableError, TaskStore
from taskd.system.background import LOOK_AGAIN_S, WakeUp, watch
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
        """``on_fatal`` hears of a fault that firing cannot go on after; the daemon is to end then."""
        self._store = store
        self._on_fatal = on_fatal
        self._telemetry = telemetry or Telemetry()
        self._wake = WakeUp(clock or store.now_ms)
        self._stopping = False
        self._firing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begins to fire; what was missed while nobody did collapses into one task a schedule."""
        self._store.on_change(Change.SCHEDULES, self._wake.set)
        self._firing = asyncio.create_task(self._fire_forever(), name="scheduler")
        self._firing.add_done_callback(self._watch)

    async def stop(self) -> None:
        """Fires no more, and waits for a step that has begun. Idempotent."""
        self._stopping = True
        self._wake.set()
        if self._firing is not None:
            await asyncio.wait([self._firing])

    async def _fire_forever(self) -> None:
        while not self._stopping:
            self._wake.clear()
            occurrences = await self._fire()
            for occurrence in occurrences:
                self._report(occurrence)
            if not occurrences:
                await self._wake.sleep(self._store.next_fire_ms())

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

    def _watch(self, firing: "asyncio.Task[None]") -> None:
        watch(firing, "Firing schedules", self._on_fatal)
