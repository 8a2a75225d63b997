"""The due tasks of a function whose start rules know no keys: they wait in one line for the function as a whole.

It does what ``gate.py`` does of one lane, at a third of its cost.
"""

from collections.abc import Iterator

from taskd.model.start_rules import NO_KEYS, Keys
from taskd.model.task import Task
from taskd.store.embedded.queue.ready import Ready
from taskd.store.embedded.queue.sorted_runs import IsWaiting, Key, key_of
from taskd.store.embedded.queue.usage import Usage


class PlainGate:
    """What waits for one function's rules; used as ``Gate`` is."""

    def __init__(self, name: str, usage: Usage, run_max: int) -> None:
        self.name = name
        self.usage = usage
        self.listing = 0
        """See ``Gate``, as for the next three."""
        self.listed_at: Key = (0, 0, 0)
        self.alarm_ms = 0
        self.dead = 0
        self._tasks = Ready(run_max)

    def add(self, task: Task, keys: Keys, now_ms: int) -> None:
        """Takes a due task."""
        self._tasks.push(task)

    def position(self, now_ms: int) -> Key | None:
        """Where the function stands among others: where its best task does; ``None`` if it has none."""
        best = self._tasks.best()
        return None if best is None else key_of(best)

    def take(self, now_ms: int, is_waiting: IsWaiting) -> Task | None:
        """Takes out the best task, which has its place; ``None`` if none still waits."""
        while (task := self._tasks.pop()) is not None:
            if is_waiting(task):
                self.usage.take(task.id, NO_KEYS, now_ms)
                return task
            self.dead += 1
        return None

    def wake(self, at_once: bytes | None, now_ms: int) -> None:
        """Nothing sleeps here: the owner looks at the function as a whole."""

    def look_again(self, in_time: bytes, now_ms: int) -> None:
        """As :meth:`wake`."""

    def release(self) -> Iterator[Ready]:
        """Gives all tasks away, and is of no use any more."""
        tasks, self._tasks = self._tasks, Ready()
        yield tasks

    def lanes(self) -> Iterator[Ready]:
        """The tasks."""
        yield self._tasks

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits here."""
        return self._tasks.best() is None

    @property
    def has_sleepers(self) -> bool:
        """See ``Gate``."""
        return False
