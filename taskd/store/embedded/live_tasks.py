"""The tasks that wait or run, by id.

One dict of a million tasks would stop everything for tens of milliseconds whenever it outgrows its table. So tasks lie
in up to 256 small dicts, by two digits of their ids.
"""

from collections.abc import Iterable, Iterator
from itertools import chain

from taskd.model.task import Task

_ALIKE = slice(6, 21, 14)
"""Two digits of an id: the one that says which 16 seconds of 256, and of the counter the one for every 4,096th.

Few tasks are in 16 dicts, then, and many that come at once in all. Neighbours are together, which keeps them in order.
"""


class LiveTasks:
    """Tasks by id. Goes through those of one dict in the order in which they were put, and through the dicts in any."""

    def __init__(self) -> None:
        self._parts: dict[str, dict[str, Task]] = {}
        self._count = 0

    def __getitem__(self, task_id: str) -> Task:
        return self._parts[task_id[_ALIKE]][task_id]

    def get(self, task_id: str) -> Task | None:
        """The task of this id, if it is there."""
        alike = self._parts.get(task_id[_ALIKE])
        return alike.get(task_id) if alike is not None else None

    def put(self, tasks: Iterable[Task]) -> None:
        """The tasks are there, each in the place of an earlier one with its id."""
        for task in tasks:
            task_id = task.id
            alike = self._parts.get(task_id[_ALIKE])
            if alike is None:
                alike = self._parts[task_id[_ALIKE]] = {}
            if task_id not in alike:
                self._count += 1
            alike[task_id] = task

    def remove(self, task_id: str) -> None:
        """The task is there no more; ``KeyError`` if it was not there."""
        alike = self._parts[task_id[_ALIKE]]
        del alike[task_id]
        self._count -= 1
        if not alike:
            del self._parts[task_id[_ALIKE]]

    def take_all(self) -> Iterator[Task]:
        """Takes out one after the other, without ever letting go of many at once."""
        for digits in list(self._parts):
            alike = self._parts.pop(digits)
            self._count -= len(alike)
            for task_id in list(alike):
                yield alike.pop(task_id)

    def values(self) -> Iterator[Task]:
        """All tasks."""
        return chain.from_iterable(alike.values() for alike in self._parts.values())

    def __contains__(self, task_id: object) -> bool:
        return isinstance(task_id, str) and self.get(task_id) is not None

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(self._parts.values())

    def __len__(self) -> int:
        return self._count
