"""The order of work: two heaps, one of tasks whose time has not come, one of tasks that are due.

A task moves from *delayed*, ordered by (due, seq), to *ready*, ordered by (-priority, start, seq), when its time
comes; so a task of the future never stands before a due one. Removal from the middle is lazy: the owner's
``is_waiting`` says which entries still count, and a heap that is mostly dead entries is swept.
"""

import heapq
from collections.abc import Callable, Iterable

from taskd.model.task import Task

_SWEEP_MIN = 1024


class WorkQueue:
    """Waiting tasks in the order in which they are to be worked on."""

    def __init__(self, is_waiting: Callable[[Task], bool]) -> None:
        self._is_waiting = is_waiting
        self._delayed: list[tuple[int, int, Task]] = []
        self._ready: list[tuple[int, int, int, Task]] = []
        self._dead = 0

    def load(self, tasks: Iterable[Task], now_ms: int) -> None:
        """Takes many tasks at once, in linear time."""
        for task in tasks:
            if task.due_ms <= now_ms:
                self._ready.append(_ready_entry(task))
            else:
                self._delayed.append((task.due_ms, task.seq, task))
        heapq.heapify(self._ready)
        heapq.heapify(self._delayed)

    def push(self, task: Task, now_ms: int) -> None:
        """Takes one task."""
        if task.due_ms <= now_ms:
            heapq.heappush(self._ready, _ready_entry(task))
        else:
            heapq.heappush(self._delayed, (task.due_ms, task.seq, task))

    def pop_due(self, now_ms: int, limit: int) -> list[Task]:
        """Takes out up to ``limit`` due tasks, best first."""
        self._promote(now_ms)
        taken: list[Task] = []
        while self._ready and len(taken) < limit:
            task = heapq.heappop(self._ready)[3]
            if self._is_waiting(task):
                taken.append(task)
            else:
                self._dead -= 1
        return taken

    def next_due_ms(self) -> int | None:
        """When the next waiting task is due, in the past if one is already; ``None`` if none waits."""
        self._drop_dead_tops()
        if self._ready:
            return self._ready[0][3].due_ms
        return self._delayed[0][0] if self._delayed else None

    def due_count(self, now_ms: int) -> int:
        """How many waiting tasks are due; an upper bound while called-off ones have not been swept yet."""
        self._promote(now_ms)
        return len(self._ready)

    def forget(self, count: int = 1) -> None:
        """Says that ``count`` tasks in the heaps no longer wait; sweeps when they are most of what is there."""
        self._dead += count
        if self._dead > _SWEEP_MIN and self._dead * 2 > len(self._delayed) + len(self._ready):
            self.sweep()

    def _promote(self, now_ms: int) -> None:
        while self._delayed and self._delayed[0][0] <= now_ms:
            heapq.heappush(self._ready, _ready_entry(heapq.heappop(self._delayed)[2]))

    def _drop_dead_tops(self) -> None:
        while self._ready and not self._is_waiting(self._ready[0][3]):
            heapq.heappop(self._ready)
            self._dead -= 1
        while self._delayed and not self._is_waiting(self._delayed[0][2]):
            heapq.heappop(self._delayed)
            self._dead -= 1

    def sweep(self) -> None:
        """Throws out every entry that no longer counts."""
        self._ready = [entry for entry in self._ready if self._is_waiting(entry[3])]
        self._delayed = [entry for entry in self._delayed if self._is_waiting(entry[2])]
        heapq.heapify(self._ready)
        heapq.heapify(self._delayed)
        self._dead = 0


def _ready_entry(task: Task) -> tuple[int, int, int, Task]:
    return (-task.priority, task.start_ms, task.seq, task)
