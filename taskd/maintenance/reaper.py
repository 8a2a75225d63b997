"""Reaping: tasks that a dead node had claimed come to their end, since nobody can know whether they ran."""

import asyncio
import logging
from collections.abc import Callable

from taskd.model.clock import Clock
from taskd.store.base import TaskStore
from taskd.system.background import WakeUp, watch
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
        self._on_fatal = on_fatal
        self._telemetry = telemetry or Telemetry()
        self._wake = WakeUp(clock or store.now_ms)
        self._stopping = False
        self._reaping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Reaps what there is, then goes on looking every second."""
        await self._reap_all()
        self._reaping = asyncio.create_task(self._reap_forever(), name="reaper")
        self._reaping.add_done_callback(self._watch)

    async def stop(self) -> None:
        """Reaps no more, and waits for a step that has begun. Idempotent."""
        self._stopping = True
        self._wake.set()
        if self._reaping is not None:
            await asyncio.wait([self._reaping])

    async def _reap_forever(self) -> None:
        while not self._stopping:
            self._wake.clear()
            await self._wake.sleep(None)
            await self._reap_all()

    async def _reap_all(self) -> None:
        while not self._stopping and (reaped := await self._store.reap(_TASKS_PER_STEP)):
            log.warning("%d tasks were running when their daemon died; their outcome cannot be known.", len(reaped))
            self._telemetry.settled(reaped)

    def _watch(self, reaping: "asyncio.Task[None]") -> None:
        watch(reaping, "Reaping", self._on_fatal)
