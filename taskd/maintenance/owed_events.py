"""Owed events: of tasks that failed when there was no room to say so, these are published once there is."""

import logging
from collections.abc import Callable

from taskd.model.clock import Clock
from taskd.model.errors import ContractError
from taskd.store.base import TaskStore
from taskd.system.background import AT_ONCE, BackgroundLoop

log = logging.getLogger(__name__)

_EVENTS_PER_STEP = 100


class OwedEvents:
    """Publishes what one store owes. :meth:`start` and :meth:`stop` bracket its life."""

    def __init__(
        self,
        store: TaskStore,
        *,
        clock: Clock | None = None,
        on_fatal: Callable[[BaseException], None] | None = None,
    ) -> None:
        """``on_fatal`` is told of a fault that publishing cannot go on after; the daemon is to end then."""
        self._store = store
        self._is_without_room = False
        self._loop = BackgroundLoop("owed events", self._step, clock or store.now_ms, on_fatal)

    async def start(self) -> None:
        """Looks every second."""
        self._loop.start()

    async def stop(self) -> None:
        """Publishes no more, and waits for a step that has begun. Idempotent."""
        await self._loop.stop()

    async def _step(self) -> int | None:
        try:
            published = await self._store.publish_owed(_EVENTS_PER_STEP)
        except ContractError as error:
            if not self._is_without_room:
                log.warning("Events of tasks that failed wait for room: %s", error)
            self._is_without_room = True
            return None
        self._is_without_room = False
        if published:
            log.info("%d tasks had failed when there was no room for an event of it; now there is.", published)
        return AT_ONCE if published else None
