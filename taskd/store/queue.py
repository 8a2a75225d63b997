"""The order of work: what is due, by priority; what is not, by time.

A task of the future lies in the bucket of its second. When its second comes the bucket is opened into *soon*, a heap by
(due, seq), and *coming*, a heap of groups by start. When a task is due it moves to *ready*, a heap by
(-priority, start, seq), a group as a whole to a heap beside it. So a task of the future never stands before a due one.
Removal is lazy: the owner's ``is_waiting`` says which entries still count, and when most do not, all are swept.
"""

import heapq
from collections.abc import Iterable
from itertools import chain
from typing import TypeVar

from taskd.model.task import Task
from taskd.store.buckets import GROUP_MIN, Buckets, Coming, Group, IsWaiting, drop_dead

_SWEEP_MIN = 1024

_Soon = tuple[int, int, Task]
_Ready = tuple[int, int, int, Task]
_ReadyGroup = tuple[int, int, int, Group]
"""As its first task would be in *ready*."""
_Entry = TypeVar("_Entry", _Soon, _Ready)


class WorkQueue:
    """Waiting tasks in the order in which they are to be worked on."""

    def __init__(self, is_waiting: IsWaiting, group_min: int = GROUP_MIN) -> None:
        """A second with more than ``group_min`` tasks is grouped."""
        self._is_waiting = is_waiting
        self._group_min = group_min
        self._clear()

    def _clear(self) -> None:
        self._buckets = Buckets(self._group_min)
        self._soon: list[_Soon] = []
        self._coming: list[Coming] = []
        self._ready: list[_Ready] = []
        self._ready_groups: list[_ReadyGroup] = []
        self._grouped = 0
        """Tasks in ``_ready_groups``."""
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
            elif task.due_ms // 1000 <= self._buckets.opened_s:
                soon.append(_soon_entry(task))
            else:
                self._buckets.put(task)
        _push_all(self._ready, due)
        _push_all(self._soon, soon)

    def push(self, task: Task, now_ms: int) -> None:
        """Takes one task."""
        self._entries += 1
        if task.due_ms <= now_ms:
            heapq.heappush(self._ready, _ready_entry(task))
        elif task.due_ms // 1000 <= self._buckets.opened_s:
            heapq.heappush(self._soon, _soon_entry(task))
        else:
            self._buckets.put(task)

    def pop_due(self, now_ms: int, limit: int) -> list[Task]:
        """Takes out up to ``limit`` due tasks, best first."""
        self._promote(now_ms)
        taken: list[Task] = []
        while len(taken) < limit and (self._ready or self._ready_groups):
            task = self._pop_best()
            self._entries -= 1
            if self._is_waiting(task):
                taken.append(task)
            else:
                self._dead -= 1
        return taken

    def next_due_ms(self) -> int | None:
        """When the next waiting task is due, in the past if one is already; ``None`` if none waits.

        May be early by less than a second when tasks were called off.
        """
        self._drop_dead_tops(self._ready)
        self._drop_dead_ready_groups()
        for ready in (self._ready, self._ready_groups):
            if ready:
                return ready[0][1]
        self._drop_dead_tops(self._soon)
        self._drop_dead_coming()
        opened = [heap[0][0] for heap in (self._soon, self._coming) if heap]
        return min(opened) if opened else self._earliest_in_buckets()

    def due_count(self, now_ms: int) -> int:
        """How many waiting tasks are due; an upper bound while called-off ones have not been swept yet."""
        self._promote(now_ms)
        return len(self._ready) + self._grouped

    def forget(self, count: int = 1) -> None:
        """Says that ``count`` tasks no longer wait; sweeps when they are most of what is there."""
        self._dead += count
        if self._dead > _SWEEP_MIN and self._dead * 2 > self._entries:
            self.sweep()

    def sweep(self) -> None:
        """Throws out every entry that no longer counts."""
        tasks = [*self._buckets, *(entry[3] for entry in self._ready), *(entry[2] for entry in self._soon)]
        for groups in ([entry[2] for entry in self._coming], [entry[3] for entry in self._ready_groups]):
            tasks += chain.from_iterable(groups)
        self._clear()
        # what is due goes to ready with the next promotion
        self.load((task for task in tasks if self._is_waiting(task)), now_ms=0)

    def _pop_best(self) -> Task:
        groups = self._ready_groups
        if not groups or (self._ready and self._ready[0][:3] < groups[0][:3]):
            return heapq.heappop(self._ready)[3]
        return self._pop_first_of_group()

    def _pop_first_of_group(self) -> Task:
        """Takes the first task of the best group; the group then stands where its next task does."""
        rank, start_ms, _, group = self._ready_groups[0]
        task = group.popleft()
        self._grouped -= 1
        if group:
            heapq.heapreplace(self._ready_groups, (rank, start_ms, group[0].seq, group))
        else:
            heapq.heappop(self._ready_groups)
        return task

    def _promote(self, now_ms: int) -> None:
        """Moves what is due to ready."""
        for second, bucket in self._buckets.open_until(now_ms // 1000):
            for coming in bucket.groups():
                heapq.heappush(self._coming, coming)
            if second < now_ms // 1000:  # the whole second is over: no need to order it by time first
                _push_all(self._ready, [_ready_entry(task) for task in bucket.others])
            else:
                _push_all(self._soon, [_soon_entry(task) for task in bucket.others])
        while self._coming and self._coming[0][0] <= now_ms:
            start_ms, rank, group = heapq.heappop(self._coming)
            heapq.heappush(self._ready_groups, (rank, start_ms, group[0].seq, group))
            self._grouped += len(group)
        self._promote_soon(now_ms)

    def _promote_soon(self, now_ms: int) -> None:
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

    def _earliest_in_buckets(self) -> int | None:
        while (bucket := self._buckets.first()) is not None:
            self._dropped(bucket.drop_dead(self._is_waiting))
            if bucket:
                return bucket.earliest_ms
            self._buckets.drop_first()
        return None

    def _drop_dead_tops(self, heap: list[_Entry]) -> None:
        while heap and not self._is_waiting(heap[0][-1]):
            heapq.heappop(heap)
            self._dropped(1)

    def _drop_dead_coming(self) -> None:
        while self._coming:
            group = self._coming[0][2]
            self._dropped(drop_dead(group, self._is_waiting))
            if group:
                return
            heapq.heappop(self._coming)

    def _drop_dead_ready_groups(self) -> None:
        groups = self._ready_groups
        while groups and not self._is_waiting(groups[0][3][0]):
            self._pop_first_of_group()
            self._dropped(1)

    def _dropped(self, count: int) -> None:
        self._entries -= count
        self._dead -= count


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
