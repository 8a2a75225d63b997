"""The order of work: what is due, by priority; what is not, by time.

A task of the future lies in a bucket of those that are due about the same time. When the bucket's time has passed, its
tasks go to *ready* as they are; when its time has only come, they go to *soon*, a heap by (due, seq), and from there
to ready one by one. In ready, heaps by (-priority, start, seq) say which task is best. So a task of the future never
stands before a due one, and opening the buckets of an hour that was slept through takes no longer than their number.
Removal is lazy: the owner's ``is_waiting`` says which tasks still count, and when most do not, they are swept out.

Due tasks of functions that are held back leave ready, once, when they are come across, and return when their function
is no longer held: however many they are, and whatever their priority, no claim passes them by a second time.
"""

import heapq
from collections.abc import Collection, Iterable
from itertools import chain

from taskd.model.task import Task
from taskd.store.embedded.queue.buckets import Buckets
from taskd.store.embedded.queue.ready import Ready
from taskd.store.embedded.queue.sorted_runs import RUN_MAX, IsWaiting, Run

_SWEEP_MIN = 1024
_ORDERED_AT_ONCE = 4096
"""How many tasks are put in order before a call gives what it has: some 2 ms."""
_HELD_BACK_AT_ONCE = 512
"""How many tasks are held back before a call gives what it has: some 1 ms."""

_Soon = tuple[int, int, Task]


class WorkQueue:
    """Waiting tasks in the order in which they are to be worked on."""

    def __init__(self, is_waiting: IsWaiting, run_max: int = RUN_MAX) -> None:
        """No more than ``run_max`` tasks are put in order at once."""
        self._is_waiting = is_waiting
        self._run_max = run_max
        self._clear()

    def _clear(self) -> None:
        self._buckets = Buckets(self._run_max)
        self._soon: list[_Soon] = []
        self._ready = Ready(self._run_max)
        self._held: dict[str, Ready] = {}
        """Due tasks that were found to be held back, by function."""
        self._unswept: list[Run] = []
        """What a sweep that has begun has not come to yet."""
        self._entries = 0
        self._dead = 0

    def load(self, tasks: Iterable[Task], now_ms: int) -> None:
        """Takes many tasks at once, in linear time."""
        due: list[Task] = []
        for task in tasks:
            if task.due_ms > now_ms:
                self.push(task, now_ms)
            else:
                due.append(task)
            if len(due) >= self._run_max:
                self._load_due(due)
                due = []
        if due:
            self._load_due(due)

    def _load_due(self, tasks: list[Task]) -> None:
        self._entries += len(tasks)
        self._ready.push_run(Run(tasks))

    def push(self, task: Task, now_ms: int) -> None:
        """Takes one task."""
        self._entries += 1
        due_ms = task.due_ms
        if due_ms <= now_ms:
            self._ready.push(task)
        elif due_ms < self._buckets.opened_ms:
            heapq.heappush(self._soon, (due_ms, task.seq, task))
        else:
            self._buckets.put(task, due_ms)

    def pop_due(self, now_ms: int, limit: int, held: Collection[str] = ()) -> list[Task]:
        """Takes out the best due tasks that are of none of the functions ``held``, up to ``limit``.

        Gives fewer where telling which are the next best would take long. Gives none although there are some only
        where very many that are held back stand before them; ``next_due_ms`` then says that there is more.
        """
        self._promote(now_ms)
        if self._held:
            self._release_all_but(held)
        ready = self._ready
        taken: list[Task] = []
        dead = held_back = 0
        enough = ready.ordered + _ORDERED_AT_ONCE
        while len(taken) < limit and held_back < _HELD_BACK_AT_ONCE and (task := ready.pop()) is not None:
            if not self._is_waiting(task):
                dead += 1
            elif held and task.function_name in held:
                self._hold_back(task)
                held_back += 1
            else:
                taken.append(task)
                if ready.ordered >= enough:
                    break
        self._entries -= len(taken)
        self._dropped(dead)
        return taken

    def next_due_ms(self) -> int | None:
        """When the next waiting task is due, in the past if one is already; ``None`` if none waits.

        May be early when tasks were cancelled. Leaves out those that were found to be held back.
        """
        while (task := self._ready.best()) is not None:
            if self._is_waiting(task):
                return task.start_ms
            self._ready.pop()
            self._dropped(1)
        while self._soon and not self._is_waiting(self._soon[0][2]):
            heapq.heappop(self._soon)
            self._dropped(1)
        return self._soon[0][0] if self._soon else self._earliest_in_buckets()

    def due_count(self, now_ms: int) -> int:
        """How many waiting tasks are due, held back or not; an upper bound while cancelled ones are not swept yet."""
        self._promote(now_ms)
        return len(self._ready) + sum(map(len, self._held.values()))

    def forget(self, count: int = 1) -> None:
        """Says that ``count`` tasks no longer wait; sweeps a little for each while they are most of what is there."""
        self._dead += count
        for _ in range(count):
            if not self._unswept and (self._dead <= _SWEEP_MIN or self._dead * 2 <= self._entries):
                return
            self._sweep_some()

    def sweep(self) -> None:
        """Throws out every entry that no longer counts."""
        tasks = [*self._buckets, *self._ready, *chain.from_iterable(self._held.values())]
        tasks += [entry[2] for entry in self._soon]
        self._clear()
        # what is due goes to ready with the next promotion
        self.load((task for task in tasks if self._is_waiting(task)), now_ms=0)

    def _sweep_some(self) -> None:
        """Throws such entries out of one run, and at the beginning out of all that is in none."""
        if not self._unswept:
            due = [self._ready, *self._held.values()]
            self._unswept = [*self._buckets.runs(), *chain.from_iterable(ready.runs() for ready in due)]
            dropped = sum(ready.drop_dead_singles(self._is_waiting) for ready in due)
            self._dropped(dropped + self._drop_dead_soon())
        else:
            self._dropped(self._unswept.pop().drop_dead(self._is_waiting))

    def _drop_dead_soon(self) -> int:
        before = len(self._soon)
        self._soon = [entry for entry in self._soon if self._is_waiting(entry[2])]
        heapq.heapify(self._soon)
        return before - len(self._soon)

    def _hold_back(self, task: Task) -> None:
        name = task.function_name
        if name not in self._held:
            self._held[name] = Ready(self._run_max)
        self._held[name].push(task)

    def _release_all_but(self, held: Collection[str]) -> None:
        """Lets the tasks of functions that are held no longer return to ready, in little more than no time."""
        for name in [name for name in self._held if name not in held]:
            self._ready.take_over(self._held.pop(name))

    def _promote(self, now_ms: int) -> None:
        """Moves what is due to ready."""
        for bucket in self._buckets.open_until(now_ms):
            if bucket.end_ms <= now_ms + 1:
                for run in bucket.runs():
                    self._ready.push_run(run)
            else:
                self._soon += [(task.due_ms, task.seq, task) for task in bucket]
                heapq.heapify(self._soon)
        while self._soon and self._soon[0][0] <= now_ms:
            self._ready.push(heapq.heappop(self._soon)[2])

    def _earliest_in_buckets(self) -> int | None:
        while (bucket := self._buckets.first()) is not None:
            if any(self._is_waiting(task) for task in bucket):
                return bucket.earliest_ms
            self._dropped(sum(len(run.tasks) for run in bucket.runs()))
            self._buckets.drop_first()
        return None

    def _dropped(self, count: int) -> None:
        self._entries -= count
        self._dead -= count
