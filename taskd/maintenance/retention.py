"""Retention: what is over for longer than it is kept goes, bit by bit, so that nobody feels it."""

import asyncio
import logging
import time
from collections.abc import Callable

from taskd.model.clock import Clock
from taskd.model.errors import ContractError
from taskd.model.retention import Retention
from taskd.store.base import Expired, TaskStore
from taskd.system.background import AT_ONCE, BackgroundLoop
from taskd.telemetry.metrics import Telemetry

log = logging.getLogger(__name__)

_PAUSE_MS = 60_000
"""Between looking through everything and looking again."""
_EVENTS_PER_STEP = 500
_REST_PER_WORK = 4.0
"""How long each step is rested from, by how long it took: others have most of the disk and of the processors."""


class RetentionService:
    """Has the store let go of what is over. :meth:`start` and :meth:`stop` bracket its life."""

    def __init__(
        self,
        store: TaskStore,
        retention: Retention,
        *,
        clock: Clock | None = None,
        on_fatal: Callable[[BaseException], None] | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        """``retention`` is for all functions that do not say it themselves. ``on_fatal`` as for all services."""
        self._store = store
        self._retention = retention
        self._telemetry = telemetry or Telemetry()
        self._clock = clock or store.now_ms
        self._loop = BackgroundLoop("retention", self._step, self._clock, on_fatal)
        self._next_ms = 0
        self._removed = 0

    async def start(self) -> None:
        """Begins to look."""
        self._loop.start()

    async def stop(self) -> None:
        """Removes nothing more, and waits for a step that has begun. Idempotent."""
        await self._loop.stop()

    async def _step(self) -> int | None:
        now_ms = self._clock()
        if now_ms < self._next_ms <= now_ms + _PAUSE_MS:  # later than that only where the clock was set back
            return self._next_ms
        if not self._retention and not any(function.retention for function in self._store.functions()):
            return None
        began_s = time.monotonic()
        try:
            events = await self._delete_events(now_ms)
            expired = None if events else await self._store.expire(self._retention)
        except ContractError as error:
            log.info("Nothing can be removed now: %s", error)
            return None
        if expired is not None:
            self._note(expired)
        if expired is not None and expired.is_last:
            self._next_ms = self._clock() + _PAUSE_MS
            return self._next_ms
        await asyncio.sleep((time.monotonic() - began_s) * _REST_PER_WORK)
        return AT_ONCE

    async def _delete_events(self, now_ms: int) -> int:
        """Deletes the oldest of the events that are too old; gives how many.

        A catalogue that is built anew may bring them back: they are as old then, and go again.
        """
        kept_ms = self._retention.events_ms
        if kept_ms is None:
            return 0
        count = await self._store.delete_events_before(now_ms - kept_ms + 1, _EVENTS_PER_STEP)
        if count:
            log.info("Retention removed %d events.", count)
        return count

    def _note(self, expired: Expired) -> None:
        self._telemetry.expired(expired.tasks, expired.api_requests, expired.log_lines)
        self._removed += expired.tasks + expired.api_requests + expired.log_lines
        if expired.is_last and self._removed:
            log.info("Retention removed %d tasks, API requests and log lines.", self._removed)
            self._removed = 0
