"""Recurring work: has the store fire the schedules whose time has come.

What is due is asked of the wall clock each time, and no sleep is longer than a second. So a clock that jumps ahead is
noticed at once, and one that is set back makes schedules wait: an occurrence that was made is not made again.
"""

import asyncio
import logging
from collections.abc import Callable

from taskd.model.clock import Clock
from taskd.model.firing import COUNTED_MAX
from taskd.model.schedule import Schedule
from taskd.store.base import Change, Fired, Objection, Occurrence, StoreUnavailableError, TaskStore, no_objection
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
        objection: Objection = no_objection,
    ) -> None:
        """``on_fatal`` is told of a fault that firing cannot go on after; the daemon is to end then.

        A due schedule that there is an ``objection`` to is paused.
        """
        self._store = store
        self._objection = objection
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
        fired = await self._fire()
        for occurrence in fired.occurrences:
            self._report(occurrence)
        for schedule in fired.paused:
            _report_pause(schedule)
        self._telemetry.held_back(fired.held_back)
        return AT_ONCE if fired.occurrences or fired.paused else self._store.next_fire_ms()

    async def _fire(self) -> Fired:
        try:
            return await self._store.fire(_SCHEDULES_PER_STEP, self._objection)
        except StoreUnavailableError as error:
            log.warning("No schedule is fired for now: %s", error)
            await asyncio.sleep(LOOK_AGAIN_S)
            return Fired([], [])

    def _report(self, occurrence: Occurrence) -> None:
        task, skipped = occurrence.task, occurrence.skipped
        self._telemetry.fired(skipped)
        if skipped:
            more = " or more" if skipped == COUNTED_MAX else ""
            log.warning(
                "Schedule %s (%s) was late: %d%s later occurrences were skipped, task %s stands for them all.",
                *(task.schedule_id, task.function_name, skipped, more, task.id),
            )


def _report_pause(schedule: Schedule) -> None:
    log.warning(
        "Schedule %s (%s) is paused: %s `taskd schedules resume %s` has it go on, in the name of who calls that.",
        *(schedule.id, schedule.function_name, schedule.pause_reason, schedule.id),
    )
