"""What other rooms tell of as events, published one after the other, in order. What cannot be kept now waits for room.

Who tells does not wait: what it tells of has happened, whether an event says so or not.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import msgspec

from taskd.model.clock import Clock
from taskd.model.errors import ContractError
from taskd.model.event import EventDraft
from taskd.store.base import TaskStore
from taskd.system.background import AT_ONCE, BackgroundLoop

log = logging.getLogger(__name__)

WAITING_MAX = 10_000
"""What may wait for room, in memory. What is told of past that is in the log alone."""


class Happening(Protocol):
    """Something that has happened."""

    @property
    def type(self) -> str:
        """The type of the event."""

    @property
    def content(self) -> Mapping[str, str]:
        """What the event says."""


class SystemEvents:
    """Publishes what is told. :meth:`start` and :meth:`stop` bracket its life."""

    def __init__(
        self,
        store: TaskStore,
        *,
        clock: Clock | None = None,
        on_fatal: Callable[[BaseException], None] | None = None,
    ) -> None:
        """``on_fatal`` is told of a fault that publishing cannot go on after; the daemon is to end then."""
        self._store = store
        self._waiting: deque[EventDraft] = deque()
        self._loop = BackgroundLoop("system events", self._step, clock or store.now_ms, on_fatal)

    def tell(self, happenings: Iterable[Happening]) -> None:
        """These have happened. What is not published when the process ends is not published later."""
        for happening in happenings:
            if len(self._waiting) >= WAITING_MAX:
                log.error("There is no room for the event %s %s.", happening.type, dict(happening.content))
            else:
                self._waiting.append(EventDraft(happening.type, msgspec.json.encode(happening.content)))
        self._loop.wake()

    async def start(self) -> None:
        """Begins to publish."""
        self._loop.start()

    async def stop(self) -> None:
        """Publishes what waits, if there is room for it, and no more. Idempotent."""
        await self._loop.stop()
        while await self._step() is not None:
            pass
        if self._waiting:
            log.error("%d events were not published, for want of room.", len(self._waiting))

    async def _step(self) -> int | None:
        if not self._waiting:
            return None
        try:
            await self._store.publish(self._waiting[0])
        except ContractError as error:
            log.warning("%d events wait for room: %s", len(self._waiting), error)
            return None
        self._waiting.popleft()
        return AT_ONCE
