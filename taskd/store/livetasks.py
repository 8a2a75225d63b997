"""The tasks that wait or run, by id.

One dict of a million tasks would stop everything for tens of milliseconds whenever it outgrows its table. So tasks lie
in many small dicts: those whose ids begin alike, which are those that were created in the same sixteen seconds.
"""

from collections.abc import Iterable, Iterator
from itertools import chain

from taskd.model.task import Task

_ALIKE = 7
"""Digits of an id, of the eight that say the second."""


class LiveTasks:
    """Tasks by id; goes through them in the order in which they were created, as long as they were put so."""

    def __init__(self) -> None:
        self._by_time: dict[str, dict[str, Task]] = {}
        self._count = 0

    def __getitem__(self, task_id: str) -> Task:
        return self._by_time[task_id[:_ALIKE]][task_id]

    def get(self, task_id: str) -> Task | None:
        """The task of this id, if it is there."""
        alike = self._by_time.get(task_id[:_ALIKE])
        return alike.get(task_id) if alike is not None else None

    def put(self, tasks: Iterable[Task]) -> None:
        """The tasks are there, each in the place of an earlier one with its id."""
        for task in tasks:
            alike = self._by_time.get(task.id[:_ALIKE])
            if alike is None:
                alike = self._by_time[task.id[:_ALIKE]] = {}
            self._count -= len(alike)
            alike[task.id] = task
            self._count += len(alike)

    def remove(self, task_id: str) -> None:
        """The task is there no more; ``KeyError`` if it was not there."""
        alike = self._by_time[task_id[:_ALIKE]]
        del alike[task_id]
        self._count -= 1
        if not alike:
            del self._by_time[task_id[:_ALIKE]]

    def take_all(self) -> Iterator[Task]:
        """Takes out one after the other, without ever letting go of many at once."""
        for beginning in list(self._by_time):
            alike = self._by_time.pop(beginning)
            self._count -= len(alike)
            for task_id in list(alike):
                yield alike.pop(task_id)

    def values(self) -> Iterator[Task]:
        """All tasks."""
        return chain.from_iterable(alike.values() for alike in self._by_time.values())

    def __contains__(self, task_id: object) -> bool:
        return isinstance(task_id, str) and self.get(task_id) is not None

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(self._by_time.values())

    def __len__(self) -> int:
        return self._count
