"""What is due, best first: a heap by (-priority, start, seq) of tasks, and one of runs by where their best task stands.

An entry of the first heap takes ten times the memory of a place in a run. So when there are many they become a run.
"""

import heapq
from collections.abc import Iterator

from taskd.model.task import Task
from taskd.store.embedded.queue.sorted_runs import RUN_MAX, IsWaiting, Run, key_of

_Single = tuple[int, int, int, Task]
_Bound = tuple[int, int, int, Run]
"""The run's best task stands there or behind."""


class Ready:
    """Due tasks in the order of work."""

    __slots__ = ("_run_max", "_runs", "_singles", "ordered")

    def __init__(self, run_max: int = RUN_MAX) -> None:
        self._run_max = run_max
        self._singles: list[_Single] = []
        self._runs: list[_Bound] = []
        self.ordered = 0
        """How many tasks were put in order so far."""

    def __len__(self) -> int:
        return len(self._singles) + sum(len(entry[3].tasks) for entry in self._runs)

    def push(self, task: Task) -> None:
        """Takes one task."""
        heapq.heappush(self._singles, (-task.priority, task.start_ms, task.seq, task))
        if len(self._singles) > self._run_max:
            self.gather()

    def push_run(self, run: Run) -> None:
        """Takes the tasks of a run."""
        heapq.heappush(self._runs, (*run.bound, run))

    def take_over(self, other: "Ready") -> None:
        """Takes all the tasks of ``other``."""
        for bound in other._runs:  # noqa: SLF001 - one of its own kind
            heapq.heappush(self._runs, bound)
        for single in other._singles:  # noqa: SLF001
            heapq.heappush(self._singles, single)
        if len(self._singles) > self._run_max:
            self.gather()

    def pop(self) -> Task | None:
        """Takes out the best task, if there is any."""
        if not self._runs or not self._is_run_next():
            return heapq.heappop(self._singles)[3] if self._singles else None
        run = self._runs[0][3]
        task = run.tasks.pop()
        if run.tasks:
            best = run.tasks[-1]
            heapq.heapreplace(self._runs, (-best.priority, best.start_ms, best.seq, run))
        else:
            heapq.heappop(self._runs)
        return task

    def best(self) -> Task | None:
        """The best task, if there is any."""
        if self._is_run_next():
            return self._runs[0][3].tasks[-1]
        return self._singles[0][3] if self._singles else None

    def gather(self) -> None:
        """Makes a run of all that is in none."""
        if self._singles:
            self.push_run(Run([entry[3] for entry in self._singles]))
            self._singles.clear()

    def runs(self) -> Iterator[Run]:
        """The runs; not what is in none."""
        return (entry[3] for entry in self._runs)

    def drop_dead_singles(self, is_waiting: IsWaiting) -> int:
        """Drops tasks in no run that no longer wait; gives how many those were."""
        before = len(self._singles)
        self._singles = [entry for entry in self._singles if is_waiting(entry[3])]
        heapq.heapify(self._singles)
        return before - len(self._singles)

    def __iter__(self) -> Iterator[Task]:
        for single in self._singles:
            yield single[3]
        for run in self.runs():
            yield from run.tasks

    def _is_run_next(self) -> bool:
        """Whether the best task is in a run; that one is in order then, and stands where it belongs."""
        while self._runs:
            rank, start_ms, seq, run = self._runs[0]
            if self._singles and self._singles[0] < (rank, start_ms, seq):
                return False
            if run.is_ordered and run.tasks and run.tasks[-1].seq == seq:
                return True
            self._order_first(run)
        return False

    def _order_first(self, run: Run) -> None:
        """Puts the first run in order, and lets it stand where its best task does, or go if it has none left."""
        self.ordered += len(run.tasks)
        run.order()
        if run.tasks:
            heapq.heapreplace(self._runs, (*key_of(run.tasks[-1]), run))
        else:
            heapq.heappop(self._runs)
