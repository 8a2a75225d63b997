"""Who decides about a unique key now: one at a time, from the decision until its frame is safe or refused.

Nobody waits while holding a key, so nobody waits for ever.
"""

import asyncio
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeGuard

from msgspec import Struct

from taskd.model.clock import Clock
from taskd.model.status import Status
from taskd.model.task import Task, TaskDraft
from taskd.model.task_extras import OnConflict
from taskd.model.uniqueness import Slot, slot_of
from taskd.store.embedded.commit import CommitLog
from taskd.store.embedded.events import Event, KeptKey

Deciding = asyncio.Future[Any]


class Queued(Struct, frozen=True):
    """What the queue is told of waiting tasks that are to take something over, by their ids."""

    replaced: Callable[[Sequence[str]], None]
    """They have, or could not: their old places in the queue are to be forgotten."""
    kept: Callable[[Sequence[str]], None]
    """They could not, and wait as before: told first."""


class UniqueGate:
    """For those who make tasks with unique keys in one store."""

    def __init__(self, commits: CommitLog, clock: Clock, queued: Queued) -> None:
        self._commits = commits
        self._clock = clock
        self._queued = queued
        self._replacing: dict[str, Deciding] = {}
        """Tasks that are about to take something over."""
        self._deciding: dict[Slot, Deciding] = {}

    async def free(self, drafts: Sequence[TaskDraft]) -> None:
        """Returns when nobody decides about the keys of ``drafts``, nor about waiting tasks they may replace.

        Whoever waits for nothing between this and :meth:`hold` has those keys.
        """
        while (deciding := self._next_deciding(drafts)) is not None:
            await asyncio.wait([deciding])

    def hold(self, slots: Iterable[Slot], until: Deciding) -> None:
        """Nobody else decides about these keys until then."""
        held = dict.fromkeys(slots, until)
        self._deciding.update(held)
        until.add_done_callback(functools.partial(self._let_go, held))

    def submit(self, batch: Sequence[Event], replaced: Sequence[str]) -> "asyncio.Future[list[Task]]":
        """Sends a frame on its way in which the waiting tasks ``replaced`` take something over; see ``CommitLog``."""
        done = self._commits.submit(batch, replaced, undo=lambda: self._queued.kept(replaced))
        if replaced:
            self._replacing.update(dict.fromkeys(replaced, done))
            done.add_done_callback(lambda _: self._have_replaced(replaced))
        return done

    async def replaced(self, task_id: str) -> None:
        """Returns when the task is not about to take something over."""
        while (done := self._replacing.get(task_id)) is not None:
            await asyncio.wait([done])

    def holder(self, slot: Slot) -> Task | KeptKey | None:
        """Who has the key now."""
        return self._commits.state.unique.holder(slot, self._clock())

    def is_taken(self, slot: Slot) -> bool:
        """Whether somebody has the key, or is about to."""
        return slot in self._deciding or self.holder(slot) is not None

    def is_replaceable(self, holder: Task | KeptKey | None) -> TypeGuard[Task]:
        """Whether it waits, and nothing is being decided about it."""
        return isinstance(holder, Task) and holder.status is Status.NEW and self._commits.is_free(holder.id)

    def _next_deciding(self, drafts: Iterable[TaskDraft]) -> Deciding | None:
        for draft in drafts:
            slot = slot_of(draft)
            if slot is None:
                continue
            if (deciding := self._deciding.get(slot)) is not None:
                return deciding
            holder = self.holder(slot) if draft.on_conflict is OnConflict.REPLACE else None
            if isinstance(holder, Task) and holder.status is Status.NEW and not self._commits.is_free(holder.id):
                return self._commits.when_free(holder.id)
        return None

    def _have_replaced(self, task_ids: Sequence[str]) -> None:
        for task_id in task_ids:
            del self._replacing[task_id]
        self._queued.replaced(task_ids)

    def _let_go(self, held: dict[Slot, Deciding], done: Deciding) -> None:
        for slot in held:
            if self._deciding.get(slot) is done:
                del self._deciding[slot]
