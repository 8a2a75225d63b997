"""The order of work: what is due, by priority; what is not, by time.

A task of the future lies unordered in the bucket of its second, which costs a pointer and no comparison. When its
second comes, or nothing earlier is left, the bucket is opened into *soon*, a heap by (due, seq). When a task is due it
moves to *ready*, a heap by (-priority, start, seq). So a task of the future never stands before a due one. Removal
is lazy: the owner's ``is_waiting`` says which entries still count, and when most do not, all are swept.
"""

import heapq
from collections.abc import Callable, Iterable
from typing import TypeVar

from taskd.model.task import Task

_SWEEP_MIN = 1024

_Soon = tuple[int, int, Task]
_Ready = tuple[int, int, int, Task]
_Entry = TypeVar("_Entry", _Soon, _Ready)


class WorkQueue:
    """Waiting tasks in the order in which they are to be worked on."""

    def __init__(self, is_waiting: Callable[[Task], bool]) -> None:
        self._is_waiting = is_waiting
        self._buckets: dict[int, list[Task]] = {}
        """By second; every one is later than ``_opened_s``."""
        self._seconds: list[int] = []
        """A heap of the keys of ``_buckets``."""
        self._opened_s = 0
        self._soon: list[_Soon] = []
        self._ready: list[_Ready] = []
        self._entries = 0
        self._dead = 0

    def load(self, tasks: Iterable[Task], now_ms: int) -> None:
        """Takes many tasks at once, in linear time."""
        due: list[_Ready] = []
        soon: list[_Soon] = []
        for task in tasks:
            self._entries += 1
            if task.due_ms <= now_ms:
                due.append(_ready_entry(task))
            elif task.due_ms // 1000 <= self._opened_s:
                soon.append(_soon_entry(task))
            else:
                self._put_in_bucket(task)
        _push_all(self._ready, due)
        _push_all(self._soon, soon)

    def push(self, task: Task, now_ms: int) -> None:
        """Takes one task."""
        self._entries += 1
        if task.due_ms <= now_ms:
            heapq.heappush(self._ready, _ready_entry(task))
        elif task.due_ms // 1000 <= self._opened_s:
            heapq.heappush(self._soon, _soon_entry(task))
        else:
            self._put_in_bucket(task)

    def pop_due(self, now_ms: int, limit: int) -> list[Task]:
        """Takes out up to ``limit`` due tasks, best first."""
        self._promote(now_ms)
        taken: list[Task] = []
        while self._ready and len(taken) < limit:
            task = heapq.heappop(self._ready)[3]
            self._entries -= 1
            if self._is_waiting(task):
                taken.append(task)
            else:
                self._dead -= 1
        return taken

    def next_due_ms(self) -> int | None:
        """When the next waiting task is due, in the past if one is already; ``None`` if none waits."""
        self._drop_dead_tops(self._ready)
        if self._ready:
            return self._ready[0][3].due_ms
        self._drop_dead_tops(self._soon)
        while not self._soon and self._seconds:
            self._open_bucket()
            self._drop_dead_tops(self._soon)
        return self._soon[0][0] if self._soon else None

    def due_count(self, now_ms: int) -> int:
        """How many waiting tasks are due; an upper bound while called-off ones have not been swept yet."""
        self._promote(now_ms)
        return len(self._ready)

    def forget(self, count: int = 1) -> None:
        """Says that ``count`` tasks no longer wait; sweeps when they are most of what is there."""
        self._dead += count
        if self._dead > _SWEEP_MIN and self._dead * 2 > self._entries:
            self.sweep()

    def sweep(self) -> None:
        """Throws out every entry that no longer counts."""
        tasks = [entry[3] for entry in self._ready] + [entry[2] for entry in self._soon]
        tasks += [task for bucket in self._buckets.values() for task in bucket]
        self._ready, self._soon, self._buckets, self._seconds = [], [], {}, []
        self._entries = self._dead = self._opened_s = 0
        # what is due goes to ready with the next promotion
        self.load((task for task in tasks if self._is_waiting(task)), now_ms=0)

    def _put_in_bucket(self, task: Task) -> None:
        second = task.due_ms // 1000
        bucket = self._buckets.get(second)
        if bucket is None:
            self._buckets[second] = [task]
            heapq.heappush(self._seconds, second)
        else:
            bucket.append(task)

    def _open_bucket(self) -> None:
        self._opened_s = heapq.heappop(self._seconds)
        _push_all(self._soon, [_soon_entry(task) for task in self._buckets.pop(self._opened_s)])

    def _promote(self, now_ms: int) -> None:
        """Moves what is due to ready."""
        while self._seconds and self._seconds[0] < now_ms // 1000:
            # the whole second is over: no need to order it by time first
            self._opened_s = heapq.heappop(self._seconds)
            _push_all(self._ready, [_ready_entry(task) for task in self._buckets.pop(self._opened_s)])
        if self._seconds and self._seconds[0] == now_ms // 1000:
            self._open_bucket()
        due = self._pop_soon(now_ms, len(self._soon) // 16 + 16)
        if self._soon and self._soon[0][0] <= now_ms:  # many: parting them is cheaper than popping each
            due += [_ready_entry(entry[2]) for entry in self._soon if entry[0] <= now_ms]
            self._soon = [entry for entry in self._soon if entry[0] > now_ms]
            heapq.heapify(self._soon)
        _push_all(self._ready, due)

    def _pop_soon(self, now_ms: int, limit: int) -> list[_Ready]:
        due: list[_Ready] = []
        while self._soon and self._soon[0][0] <= now_ms and len(due) < limit:
            due.append(_ready_entry(heapq.heappop(self._soon)[2]))
        return due

    def _drop_dead_tops(self, heap: list[_Entry]) -> None:
        while heap and not self._is_waiting(heap[0][-1]):
            heapq.heappop(heap)
            self._entries -= 1
            self._dead -= 1


def _ready_entry(task: Task) -> _Ready:
    return (-task.priority, task.start_ms, task.seq, task)


def _soon_entry(task: Task) -> _Soon:
    return (task.due_ms, task.seq, task)


def _push_all(heap: list[_Entry], entries: list[_Entry]) -> None:
    """Adds many to a heap: one by one while they are few beside what is there, else in linear time."""
    if len(entries) * 8 < len(heap):
        for entry in entries:
            heapq.heappush(heap, entry)
    elif entries:
        heap += entries
        heapq.heapify(heap)
