"""The order of work: what is due, by priority; what is not, by time.

A task of the future lies in a bucket of those that are due about the same time. When the bucket's time has passed, its
tasks go to *ready* as they are; when its time has only come, they go to *soon*, a heap by (due, seq), and from there
to ready one by one. In ready, heaps by (-priority, start, seq) say which task is best. So a task of the future never
stands before a due one, and opening the buckets of an hour that was slept through takes no longer than their number.
Removal is lazy: the owner's ``is_waiting`` says which tasks still count, and when most do not, they are swept out.

Due tasks of functions that are held back leave ready, once, when they are come across, and return when their function
is no longer held: however many they are, and whatever their priority, no claim passes them by a second time.
Due tasks of functions that have start rules wait behind the gates of these (``gates.py``), and never in ready.
"""

import heapq
from collections.abc import Collection, Iterable
from itertools import chain

from taskd.model.task import Task
from taskd.store.embedded.queue.buckets import Buckets
from taskd.store.embedded.queue.gates import Gates
from taskd.store.embedded.queue.ready import Ready
from taskd.store.embedded.queue.sorted_runs import RUN_MAX, IsWaiting, Run, key_of
from taskd.store.embedded.queue.usage import Usages

_SWEEP_MIN = 1024
_ORDERED_AT_ONCE = 4096
"""How many tasks are put in order before a call gives what it has: some 2 ms."""
_HELD_BACK_AT_ONCE = 512
"""How many tasks are held back before a call gives what it has: some 1 ms."""

_Soon = tuple[int, int, Task]


class WorkQueue:
    """Waiting tasks in the order in which they are to be worked on."""

    def __init__(self, is_waiting: IsWaiting, run_max: int = RUN_MAX, usages: Usages | None = None) -> None:
        """No more than ``run_max`` tasks are put in order at once. What is claimed takes its places in ``usages``."""
        self._is_waiting = is_waiting
        self._run_max = run_max
        self._usages = usages or Usages()
        self._clear()

    def _clear(self) -> None:
        self._buckets = Buckets(self._run_max)
        self._soon: list[_Soon] = []
        self._ready = Ready(self._run_max)
        self._held: dict[str, Ready] = {}
        """Due tasks that were found to be held back, by function."""
        self._gates = Gates(self._usages, self._is_waiting, self._run_max)
        self._usages.changed.update(self._usages.by_function)
        self._unsorted: list[Run | Ready] = []
        """What may have tasks that belong behind a gate: runs in ready, and what an earlier gate has released."""
        self._unswept: list[Run | Ready] = []
        """What a sweep that has begun has not come to yet."""
        self._entries = 0
        self._dead = 0

    def load(self, tasks: Iterable[Task], now_ms: int) -> None:
        """Takes many tasks at once, in linear time."""
        self._change_rules(now_ms)
        due: list[Task] = []
        gated: list[Task] = []
        for task in tasks:
            if task.due_ms > now_ms:
                self.push(task, now_ms)
            elif task.function_name in self._gates.by_function:
                gated.append(task)
            else:
                due.append(task)
            if len(due) >= self._run_max:
                self._load_due(due)
                due = []
        if due:
            self._load_due(due)
        for task in sorted(gated, key=key_of):
            self.push(task, now_ms)

    def _load_due(self, tasks: list[Task]) -> None:
        self._entries += len(tasks)
        self._ready.push_run(Run(tasks))

    def push(self, task: Task, now_ms: int) -> None:
        """Takes one task."""
        self._entries += 1
        due_ms = task.due_ms
        if due_ms <= now_ms:
            self._push_due(task, now_ms)
        elif due_ms < self._buckets.opened_ms:
            heapq.heappush(self._soon, (due_ms, task.seq, task))
        else:
            self._buckets.put(task, due_ms)

    def pop_due(self, now_ms: int, limit: int, held: Collection[str] = ()) -> list[Task]:
        """Takes out the best due tasks that are of none of the functions ``held``, up to ``limit``.

        Gives fewer where telling which are the next best would take long. Gives none although there are some only
        where very many that are held back stand before them; ``next_due_ms`` then says that there is more.
        """
        if self._usages.changed:
            self._change_rules(now_ms)
        self._promote(now_ms)
        if self._held:
            self._release_all_but(held)
        if self._gates.by_function or self._unsorted:
            return self._pop_with_gates(now_ms, limit, held)
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

    def _pop_with_gates(self, now_ms: int, limit: int, held: Collection[str]) -> list[Task]:
        """As :meth:`pop_due`, where functions have start rules."""
        gates, ready = self._gates, self._ready
        gates.begin(now_ms, held)
        self._sort_some(now_ms)
        taken: list[Task] = []
        aside = 0
        enough = ready.ordered + _ORDERED_AT_ONCE
        while len(taken) < limit and aside < _HELD_BACK_AT_ONCE and ready.ordered < enough:
            at = gates.best(now_ms, held)
            best = ready.best()
            if best is not None and (at is None or key_of(best) < at):
                ready.pop()
                if not self._is_waiting(best):
                    self._dropped(1)
                elif best.function_name in gates.by_function:
                    gates.add(best, now_ms)
                    aside += 1
                elif held and best.function_name in held:
                    self._hold_back(best)
                    aside += 1
                else:
                    taken.append(best)
            elif at is None:
                break
            elif (task := gates.take(now_ms)) is not None:
                taken.append(task)
        self._entries -= len(taken)
        self._dropped(gates.take_dead())
        return taken

    def free_places(self, now_ms: int) -> bool:
        """Lets those go on that waited for places which have become free; says whether there may be any."""
        return self._gates.free(now_ms)

    @property
    def has_unread(self) -> bool:
        """Whether :meth:`take_unread` would give any."""
        return bool(self._gates.unread)

    def take_unread(self) -> list[Task]:
        """Takes out the due tasks that come under rules by a key, and whose data must be read for it."""
        unread, self._gates.unread = self._gates.unread, []
        self._entries -= len(unread)
        return unread

    def next_due_ms(self) -> int | None:
        """When the next waiting task is due, in the past if one is already; ``None`` if none waits.

        May be early when tasks were cancelled. Leaves out those that were found to be held back. For those that wait
        for their rules it is when one may start, as far as that is known.
        """
        moments = [self._next_plain_ms()]
        if self._gates.by_function:
            moments.append(self._gates.next_ms())
        if any(isinstance(each, Ready) for each in self._unsorted):
            moments.append(0)
        return min((moment for moment in moments if moment is not None), default=None)

    def _next_plain_ms(self) -> int | None:
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
        released = sum(len(each) for each in self._unsorted if isinstance(each, Ready))
        return len(self._ready) + sum(map(len, self._held.values())) + len(self._gates) + released

    def forget(self, count: int = 1) -> None:
        """Says that ``count`` tasks no longer wait; sweeps a little for each while they are most of what is there."""
        self._dead += count
        for _ in range(count):
            if not self._unswept and (self._dead <= _SWEEP_MIN or self._dead * 2 <= self._entries):
                return
            self._sweep_some()

    def sweep(self) -> None:
        """Throws out every entry that no longer counts."""
        released = [each for each in self._unsorted if isinstance(each, Ready)]
        due = chain(self._held.values(), self._gates.lanes(), released)
        tasks = [*self._buckets, *self._ready, *chain.from_iterable(due), *self._gates.unread]
        tasks += [entry[2] for entry in self._soon]
        self._clear()
        # what is due goes to ready with the next promotion
        self.load((task for task in tasks if self._is_waiting(task)), now_ms=0)

    def _sweep_some(self) -> None:
        """Throws such entries out of one run, and at the beginning out of all that is in none."""
        if not self._unswept:
            due = [self._ready, *self._held.values()]
            self._unswept = [*self._buckets.runs(), *chain.from_iterable(ready.runs() for ready in due)]
            self._unswept += self._gates.lanes()
            dropped = sum(ready.drop_dead_singles(self._is_waiting) for ready in due)
            self._dropped(dropped + self._drop_dead_soon())
        else:
            swept = self._unswept.pop()
            if isinstance(swept, Ready):
                self._unswept += swept.runs()
                self._dropped(swept.drop_dead_singles(self._is_waiting))
            else:
                self._dropped(swept.drop_dead(self._is_waiting))

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
                    if self._gates.by_function:
                        self._unsorted.append(run)
            else:
                self._soon += [(task.due_ms, task.seq, task) for task in bucket]
                heapq.heapify(self._soon)
        while self._soon and self._soon[0][0] <= now_ms:
            self._push_due(heapq.heappop(self._soon)[2], now_ms)

    def _push_due(self, task: Task, now_ms: int) -> None:
        if self._gates.by_function and task.function_name in self._gates.by_function:
            self._gates.add(task, now_ms)
        else:
            self._ready.push(task)

    def _change_rules(self, now_ms: int) -> None:
        """Has all that is due sorted anew, bit by bit: in ready may be tasks of functions that have rules now."""
        released = list(self._gates.change_rules())
        self._ready.gather()
        self._unsorted = [*self._ready.runs(), *(each for each in self._unsorted if isinstance(each, Ready)), *released]
        unread, self._gates.unread = self._gates.unread, []
        for task in unread:
            self._push_due(task, now_ms)

    def _sort_some(self, now_ms: int) -> None:
        """Sorts some of what is due: it goes behind its gate, or to ready."""
        enough = _HELD_BACK_AT_ONCE
        while self._unsorted and enough > 0:
            some = self._unsorted.pop()
            if isinstance(some, Ready):
                enough -= self._sort_released(some, enough, now_ms)
            else:
                enough -= self._sort_run(some, now_ms)

    def _sort_released(self, released: Ready, limit: int, now_ms: int) -> int:
        """Has tasks of one function go behind its new gate, the best first; gives how many it has looked at."""
        best = released.best()
        if best is None or best.function_name not in self._gates.by_function:
            self._ready.take_over(released)
            return 1
        for looked_at in range(limit):
            task = released.pop()
            if task is None:
                return looked_at + 1
            self._push_due(task, now_ms)
        self._unsorted.append(released)
        return limit

    def _sort_run(self, run: Run, now_ms: int) -> int:
        """Takes tasks that belong behind gates out of a run; gives how many it has looked at."""
        gates, looked_at = self._gates, len(run.tasks)
        gated = [task for task in run.tasks if task.function_name in gates.by_function]
        if gated:
            run.tasks = [task for task in run.tasks if task.function_name not in gates.by_function]
        for task in gated:
            if self._is_waiting(task):
                gates.add(task, now_ms)
            else:
                self._dropped(1)
        return looked_at

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
