"""The verbs of schedules: added, removed, found, and fired when they are due."""

import asyncio
import functools
from collections.abc import Awaitable, Callable

from taskd.model import recurrence
from taskd.model import schedule as rules
from taskd.model.clock import Clock
from taskd.model.errors import RESOURCE_UNKNOWN, ContractError
from taskd.model.firing import Firing, fire
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
from taskd.store.embedded.unique_gate import UniqueGate
from taskd.store.embedded.unique_occurrences import UniqueOccurrences

_CRONS_AT_ONCE = 8
"""So many may be planned on the event loop: a millisecond, or some for what is very rare."""


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
        gate: UniqueGate,
    ) -> None:
        """``wait_for_capacity`` waits until more may be created, or raises ``StoreUnavailableError``."""
        self._commits = commits
        self._catalogue = catalogue
        self._clock = clock
        self._new_id = new_id
        self._creation = creation
        self._wait_for_capacity = wait_for_capacity
        self._gate = gate
        self._unique = UniqueOccurrences(gate)
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
        return self._commits.state.schedule_times.next_ms()

    async def _add(self, draft: ScheduleDraft) -> Schedule:
        rules.require_room(draft, self._commits.state.schedules.values())
        await self._wait_for_capacity()
        schedule = recurrence.create(draft, self._new_id(), self._clock())
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
        chosen = self._commits.state.schedule_times.due(now_ms, limit)
        if not chosen:
            return Fired([], [])
        await self._wait_for_capacity()
        allowed, objected = _divided(chosen, objection, now_ms)
        async with self._unique.deciding(allowed) as first:
            return await self._step(first, objected, now_ms)

    async def _step(self, allowed: list[Schedule], objected: list[Schedule], now_ms: int) -> Fired:
        taken = [self._unique.is_taken(schedule) for schedule in allowed]
        active = [schedule.id in self._commits.state.active for schedule in allowed]
        firings = await _planned(allowed, active, taken, now_ms)
        kept_out = [schedule for schedule, is_taken in zip(allowed, taken, strict=True) if is_taken]
        replaced = self._unique.replaced(kept_out, now_ms)
        making = [firing for firing in firings if firing.task is not None]
        drafts = [firing.task for firing in firings if firing.task is not None]
        moves = [_move(firing.schedule, now_ms) for firing in firings]
        added = [self._creation(drafts)] if drafts else []
        batch = [*map(events.SchedulePut, objected), *moves, *added, *replaced]
        tasks = (await self._gate.submit(batch, [event.task_id for event in replaced]))[: len(drafts)]
        made = [Occurrence(task, firing.skipped) for task, firing in zip(tasks, making, strict=True)]
        halted = [firing.schedule for firing in firings if firing.schedule.paused]
        return Fired(made, [*objected, *halted], _held_back(firings))


def _divided(chosen: list[Schedule], objection: Objection, now_ms: int) -> tuple[list[Schedule], list[Schedule]]:
    """Those that may make tasks, and those that may not, paused."""
    allowed, objected = [], []
    for schedule in chosen:
        reason = objection(schedule)
        if reason is None:
            allowed.append(schedule)
        else:
            objected.append(rules.pause(schedule, now_ms, reason))
    return allowed, objected


async def _planned(schedules: list[Schedule], active: list[bool], taken: list[bool], now_ms: int) -> list[Firing]:
    """What becomes of each; aside of the event loop where that takes long."""

    def plan() -> list[Firing]:
        return [
            fire(schedule, now_ms, is_active=is_active, is_taken=is_taken)
            for schedule, is_active, is_taken in zip(schedules, active, taken, strict=True)
        ]

    if sum(schedule.cron is not None for schedule in schedules) > _CRONS_AT_ONCE:
        return await asyncio.to_thread(plan)
    return plan()


def _move(schedule: Schedule, now_ms: int) -> events.Event:
    if schedule.paused:
        return events.SchedulePut(schedule)
    moving = (schedule.delay_ms, schedule.remaining, schedule.buffered_ms)
    return events.ScheduleAdvanced(schedule.id, schedule.next_ms, now_ms, *moving)


def _held_back(firings: list[Firing]) -> int:
    """How many times passed that no task stands for."""
    return sum(firing.skipped for firing in firings if firing.task is None)
