"""When schedules are due next: a heap of times, so that 100,000 schedules cost a look at the clock nothing.

Entries that no longer hold are left in the heap until they come up, or are more than those that do.
"""

import heapq
from collections.abc import Mapping

from taskd.model.schedule import NEVER_MS, Schedule

_STALE_MIN = 64
"""So many entries that no longer hold are not worth making the heap anew."""


class ScheduleTimes:
    """A view of schedules, in the order in which something is to be done about them."""

    def __init__(self, schedules: Mapping[str, Schedule], active: Mapping[str, int]) -> None:
        """Of ``schedules`` by their ids; ``active`` are those of which a task waits or runs."""
        self._schedules = schedules
        self._active = active
        self._due_ms: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []

    def changed(self, schedule_id: str) -> None:
        """Takes note that a schedule is not what it was, or whether a task of it waits or runs."""
        due_ms = self._due_ms_of(schedule_id)
        if due_ms == self._due_ms.get(schedule_id):
            return
        if due_ms is None:
            del self._due_ms[schedule_id]
        else:
            self._due_ms[schedule_id] = due_ms
            heapq.heappush(self._heap, (due_ms, schedule_id))
        if len(self._heap) > 2 * len(self._due_ms) + _STALE_MIN:
            self._heap = [(at_ms, each) for each, at_ms in self._due_ms.items()]
            heapq.heapify(self._heap)

    def next_ms(self) -> int | None:
        """When the first of them is due."""
        while self._heap and not self._holds(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due(self, now_ms: int, limit: int) -> list[Schedule]:
        """Those that are due, the first ``limit`` of them."""
        found: dict[str, int] = {}
        while len(found) < limit and (at_ms := self.next_ms()) is not None and at_ms <= now_ms:
            _, schedule_id = heapq.heappop(self._heap)
            found[schedule_id] = at_ms
        for schedule_id, at_ms in found.items():
            heapq.heappush(self._heap, (at_ms, schedule_id))
        return [self._schedules[schedule_id] for schedule_id in found]

    def _holds(self, entry: tuple[int, str]) -> bool:
        at_ms, schedule_id = entry
        return self._due_ms.get(schedule_id) == at_ms

    def _due_ms_of(self, schedule_id: str) -> int | None:
        schedule = self._schedules.get(schedule_id)
        if schedule is None or schedule.paused:
            return None
        due_ms = schedule.next_ms
        if schedule.buffered_ms is not None and schedule_id not in self._active:
            due_ms = min(due_ms, schedule.buffered_ms)
        return None if due_ms == NEVER_MS else due_ms
