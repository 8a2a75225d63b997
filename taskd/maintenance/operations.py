"""Operations in bulk: has the store give the next matches of every running operation their turn, a few at a time."""

import logging
import time
from collections.abc import Callable
from math import ceil

from taskd.model.clock import Clock
from taskd.model.operation import Objection, Operation, no_objection
from taskd.store.base import Change, StoreUnavailableError, TaskStore
from taskd.system.background import LOOK_AGAIN_S, BackgroundLoop

log = logging.getLogger(__name__)

_TASKS_PER_TURN = 200
"""So few that nobody else waits for them for longer than some milliseconds."""


class Operations:
    """Advances the operations of one store. :meth:`start` and :meth:`stop` bracket its life."""

    def __init__(
        self,
        store: TaskStore,
        *,
        clock: Clock | None = None,
        on_fatal: Callable[[BaseException], None] | None = None,
        objection: Objection = no_objection,
    ) -> None:
        """``on_fatal`` is told of a fault that this cannot go on after; the daemon is to end then.

        An operation that there is an ``objection`` to fails.
        """
        self._store = store
        self._objection = objection
        self._clock = clock or store.now_ms
        self._loop = BackgroundLoop("operations", self._step, self._clock, on_fatal)

    async def start(self) -> None:
        """Goes on with what an earlier process left, or another node leaves to all."""
        self._store.on_change(Change.OPERATIONS, self._loop.wake)
        self._loop.start()

    async def stop(self) -> None:
        """Begins no more turns, and waits for one that has begun. Idempotent."""
        await self._loop.stop()

    async def _step(self) -> int | None:
        """One turn; then until when to rest: for as long as it took at least, since everything else comes first."""
        due_ms = self._store.next_operation_ms()
        if due_ms is None or due_ms > self._clock():
            return due_ms
        began_s = time.monotonic()
        advanced = await self._advance()
        took_s = time.monotonic() - began_s
        for operation in advanced:
            _report(operation)
        due_ms = self._store.next_operation_ms()
        rest_s = took_s if advanced else LOOK_AGAIN_S
        return None if due_ms is None else max(due_ms, self._clock() + ceil(rest_s * 1000))

    async def _advance(self) -> list[Operation]:
        try:
            return await self._store.advance_operations(_TASKS_PER_TURN, self._objection)
        except StoreUnavailableError as error:
            log.warning("No operation goes on for now: %s", error)
            return []


def _report(operation: Operation) -> None:
    if operation.is_running:
        return
    level = logging.INFO if operation.error is None else logging.WARNING
    log.log(
        level,
        "Operation %s (%s) is %s: %d of %d tasks done, %d skipped.%s",
        *(operation.id, operation.action, operation.status, operation.done, operation.matched, operation.skipped),
        "" if operation.error is None else f" {operation.error}",
    )
