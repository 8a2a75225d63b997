"""Reaping: tasks that a dead node had claimed come to their end, since nobody can know whether they ran."""

import logging
from collections.abc import Callable

from taskd.model.clock import Clock
from taskd.store.base import TaskStore
from taskd.system.background import AT_ONCE, BackgroundLoop
from taskd.telemetry.metrics import Telemetry

log = logging.getLogger(__name__)

_TASKS_PER_STEP = 1_000


class Reaper:
    """Reaps what dead nodes of one store left. :meth:`start` and :meth:`stop` bracket its life."""

    def __init__(
        self,
        store: TaskStore,
        *,
        clock: Clock | None = None,
        on_fatal: Callable[[BaseException], None] | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        """``on_fatal`` is told of a fault that reaping cannot go on after; the daemon is to end then."""
        self._store = store
        self._telemetry = telemetry or Telemetry()
        self._loop = BackgroundLoop("reaper", self._step, clock or store.now_ms, on_fatal)

    async def start(self) -> None:
        """Reaps what there is, then goes on looking every second."""
        while await self._step() is not None:
            pass
        self._loop.start()

    async def stop(self) -> None:
        """Reaps no more, and waits for a step that has begun. Idempotent."""
        await self._loop.stop()

    async def _step(self) -> int | None:
        reaped = await self._store.reap(_TASKS_PER_STEP)
        if not reaped:
            return None
        log.warning("%d tasks were running when their daemon died; their outcome cannot be known.", len(reaped))
        self._telemetry.settled(reaped)
        return AT_ONCE
