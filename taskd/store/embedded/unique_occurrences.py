"""Schedules whose tasks have unique keys: of those that are due, which may make a task now."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from taskd.model.schedule import Schedule, occurrence
from taskd.model.task import TaskDraft, replacement
from taskd.model.task_extras import OnConflict
from taskd.model.uniqueness import Slot, slot_of
from taskd.store.embedded.events import Replaced
from taskd.store.embedded.unique_gate import UniqueGate


class UniqueOccurrences:
    """Holds the keys of schedules while what they make is decided and written."""

    def __init__(self, gate: UniqueGate) -> None:
        self._gate = gate

    @asynccontextmanager
    async def deciding(self, schedules: list[Schedule]) -> AsyncIterator[list[Schedule]]:
        """Those of ``schedules`` that may take their step; of several with one key the first."""
        if not any(schedule.unique for schedule in schedules):
            yield schedules
            return
        first: dict[Slot | str, tuple[Schedule, TaskDraft]] = {}
        for schedule in schedules:
            draft = occurrence(schedule, schedule.next_ms)
            first.setdefault(slot_of(draft) or schedule.id, (schedule, draft))
        await self._gate.free([draft for _, draft in first.values()])
        done = asyncio.get_running_loop().create_future()
        self._gate.hold([slot for slot in first if isinstance(slot, tuple)], done)
        try:
            yield [schedule for schedule, _ in first.values()]
        finally:
            done.set_result(None)

    def is_taken(self, schedule: Schedule) -> bool:
        """Whether another task has the key of its tasks."""
        slot = _slot(schedule)
        return slot is not None and self._gate.holder(slot) is not None

    def replaced(self, schedules: Sequence[Schedule], now_ms: int) -> list[Replaced]:
        """What waiting tasks take over from those of ``schedules`` that are kept out by them."""
        return [event for schedule in schedules if (event := self._replaced(schedule, now_ms)) is not None]

    def _replaced(self, schedule: Schedule, now_ms: int) -> Replaced | None:
        slot = _slot(schedule)
        if slot is None or schedule.unique is None or schedule.unique.on_conflict is not OnConflict.REPLACE:
            return None
        holder = self._gate.holder(slot)
        if not self._gate.is_replaceable(holder):
            return None
        due_ms = schedule.next_ms if schedule.next_ms <= now_ms else schedule.buffered_ms
        draft = occurrence(schedule, now_ms if due_ms is None else due_ms)
        return Replaced(holder.id, holder.seq, replacement(draft))


def _slot(schedule: Schedule) -> Slot | None:
    return None if schedule.unique is None else (schedule.function_name, schedule.unique.key)
