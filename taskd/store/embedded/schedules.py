"""The verbs of schedules: added, removed, found, and fired when they are due."""

import functools
import heapq
from collections.abc import Awaitable, Callable

from taskd.model import schedule as rules
from taskd.model.clock import Clock
from taskd.model.errors import RESOURCE_UNKNOWN, ContractError
from taskd.model.schedule import Schedule, ScheduleDraft
from taskd.rql.query import Query
from taskd.store.base import Fired, Objection, Occurrence, Page, ScheduleChange
from taskd.store.embedded import events
from taskd.store.embedded.catalogue import schedule_listing
from taskd.store.embedded.catalogue.catalogue import Catalogue
from taskd.store.embedded.catalogue.listing import prepared
from taskd.store.embedded.commit import CommitLog
from taskd.store.embedded.creation import Creation
from taskd.store.embedded.serial import SerialChanges


class Schedules:
    """The schedules of one store. They change one after the other: an event always fits what came before it."""

    def __init__(
        self,
        commits: CommitLog,
        catalogue: Catalogue,
        clock: Clock,
        *,
        new_id: Callable[[], str],
        creation: Creation,
        wait_for_capacity: Callable[[], Awaitable[None]],
    ) -> None:
        """``wait_for_capacity`` waits until more may be created, or raises ``StoreUnavailableError``."""
        self._commits = commits
        self._catalogue = catalogue
        self._clock = clock
        self._new_id = new_id
        self._creation = creation
        self._wait_for_capacity = wait_for_capacity
        self._changes = SerialChanges("schedules")

    async def add(self, draft: ScheduleDraft) -> Schedule:
        """See ``ScheduleRegistry.add_schedule``."""
        return await self._changes.run(functools.partial(self._add, draft))

    async def remove(self, schedule_id: str) -> None:
        """See ``ScheduleRegistry.remove_schedule``."""
        await self._changes.run(functools.partial(self._remove, schedule_id))

    async def change(self, schedule_id: str, change: ScheduleChange) -> Schedule:
        """See ``ScheduleRegistry.change_schedule``."""
        return await self._changes.run(functools.partial(self._change, schedule_id, change))

    async def fire(self, limit: int, objection: Objection) -> Fired:
        """See ``TaskStore``."""
        return await self._changes.run(functools.partial(self._fire, limit, objection))

    def get(self, schedule_id: str) -> Schedule:
        """See ``ScheduleRegistry.schedule``."""
        found = self._commits.state.schedules.get(schedule_id)
        if found is None:
            raise ContractError(RESOURCE_UNKNOWN, f"There is no schedule with the id {schedule_id}.")
        return found

    async def find(self, query: Query) -> Page[Schedule]:
        """See ``ScheduleRegistry.find_schedules``."""
        candidates = list(self._commits.state.schedules.values())
        return await self._catalogue.read(
            await prepared(functools.partial(schedule_listing.page, query, candidates), query)
        )

    def next_fire_ms(self) -> int | None:
        """See ``TaskStore``."""
        firing = (schedule for schedule in self._commits.state.schedules.values() if not schedule.paused)
        return min((schedule.next_ms for schedule in firing), default=None)

    async def _add(self, draft: ScheduleDraft) -> Schedule:
        rules.require_room(draft, self._commits.state.schedules.values())
        await self._wait_for_capacity()
        schedule = rules.create(draft, self._new_id(), self._clock())
        await self._commits.submit([events.SchedulePut(schedule)])
        return schedule

    async def _remove(self, schedule_id: str) -> None:
        self.get(schedule_id)
        self._commits.require_writable()
        await self._commits.submit([events.ScheduleRemoved(schedule_id)])

    async def _change(self, schedule_id: str, change: ScheduleChange) -> Schedule:
        schedule = self.get(schedule_id)
        changed = change(schedule)
        if changed != schedule:
            self._commits.require_writable()
            await self._commits.submit([events.SchedulePut(changed)])
        return changed

    async def _fire(self, limit: int, objection: Objection) -> Fired:
        now_ms = self._clock()
        due = (schedule for schedule in self._commits.state.schedules.values() if schedule.is_due(now_ms))
        chosen = heapq.nsmallest(limit, due, key=lambda schedule: schedule.next_ms)
        if not chosen:
            return Fired([], [])
        await self._wait_for_capacity()
        firing, paused = _divided(chosen, objection, now_ms)
        following = [rules.next_occurrence(schedule, now_ms) for schedule in firing]
        moves = [
            events.ScheduleAdvanced(schedule.id, next_ms, now_ms)
            for schedule, (next_ms, _) in zip(firing, following, strict=True)
        ]
        added = self._creation([rules.occurrence(schedule) for schedule in firing])
        tasks = await self._commits.submit([*map(events.SchedulePut, paused), *moves, added])
        made = [Occurrence(task, skipped) for task, (_, skipped) in zip(tasks, following, strict=True)]
        return Fired(made, paused)


def _divided(chosen: list[Schedule], objection: Objection, now_ms: int) -> tuple[list[Schedule], list[Schedule]]:
    """Those that may make tasks, and those that may not, paused."""
    firing, paused = [], []
    for schedule in chosen:
        reason = objection(schedule)
        if reason is None:
            firing.append(schedule)
        else:
            paused.append(rules.pause(schedule, now_ms, reason))
    return firing, paused
