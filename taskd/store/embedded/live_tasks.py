"""The tasks that wait or run, by id, and how much memory they take.

One dict of a million tasks would stop everything for tens of milliseconds whenever it outgrows its table. So tasks lie
in up to 256 small dicts, by two digits of their ids.
"""

from collections.abc import Iterable, Iterator
from itertools import chain

from taskd.model.task import Task, TaskDraft
from taskd.model.task_extras import UniqueKey
from taskd.model.uniqueness import unique_key
from taskd.store.embedded.stored_data import IN_MEMORY_MAX_BYTES

_ALIKE = slice(6, 21, 14)
"""Two digits of an id: the one that says which 16 seconds of 256, and of the counter the one for every 4,096th.

Few tasks are in 16 dicts, then, and many that come at once in all. Neighbours are together, which keeps them in order.
"""
TASK_BYTES = 448
"""Memory of a task beside its data and its tags: itself, its numbers, its id, and its places in a dict and a queue."""
_STORED_BYTES = 48
"""What stands for data that is not in memory, beyond an empty one."""
_TAG_BYTES = 60
"""Memory of a tag beside its characters."""
UNIQUE_BYTES = 456
"""Memory of a unique key beside its characters, once its task has ended; before, it is some 200 less."""
_WIDE_CHAR_BYTES = 4
"""At most, in a text that is not all ASCII."""


class LiveTasks:
    """Tasks by id. Goes through those of one dict in the order in which they were put, and through the dicts in any."""

    def __init__(self) -> None:
        self._parts: dict[str, dict[str, Task]] = {}
        self._count = 0
        self._beyond_bytes = 0
        """Memory of data and tags."""
        self.stored = 0
        """How many tasks have their data elsewhere."""
        self.loaded_bytes = 0
        """Of large data that is in memory."""
        self.beside_bytes = 0
        """Memory of what is kept elsewhere for the sake of tasks, such as unique keys."""

    @property
    def memory_bytes(self) -> int:
        """The memory that all of them take, their places in the queue included."""
        return self._count * TASK_BYTES + self._beyond_bytes + self.beside_bytes

    def __getitem__(self, task_id: str) -> Task:
        return self._parts[task_id[_ALIKE]][task_id]

    def get(self, task_id: str) -> Task | None:
        """The task of this id, if it is there."""
        alike = self._parts.get(task_id[_ALIKE])
        return alike.get(task_id) if alike is not None else None

    def put(self, tasks: Iterable[Task]) -> None:
        """The tasks are there, each in the place of an earlier one with its id."""
        small_bytes = 0
        for task in tasks:
            task_id = task.id
            alike = self._parts.get(task_id[_ALIKE])
            if alike is None:
                alike = self._parts[task_id[_ALIKE]] = {}
            before = alike.get(task_id)
            if before is None:
                self._count += 1
                data = task.data
                if type(data) is bytes and not task.tags and len(data) <= IN_MEMORY_MAX_BYTES:
                    small_bytes += len(data)  # as nearly always: a call for each would take as long as all the rest
                else:
                    self._weigh(task, 1)
            elif before.data is not task.data:
                self._weigh(before, -1)
                self._weigh(task, 1)
            alike[task_id] = task
        self._beyond_bytes += small_bytes

    def remove(self, task_id: str) -> None:
        """The task is there no more; ``KeyError`` if it was not there."""
        alike = self._parts[task_id[_ALIKE]]
        task = alike.pop(task_id)
        data = task.data
        if type(data) is bytes and not task.tags and len(data) <= IN_MEMORY_MAX_BYTES:
            self._beyond_bytes -= len(data)
        else:
            self._weigh(task, -1)
        self._count -= 1
        if not alike:
            del self._parts[task_id[_ALIKE]]

    def take_all(self) -> Iterator[Task]:
        """Takes out one after the other, without ever letting go of many at once."""
        for digits in list(self._parts):
            alike = self._parts.pop(digits)
            self._count -= len(alike)
            for task_id in list(alike):
                task = alike.pop(task_id)
                self._weigh(task, -1)
                yield task

    def values(self) -> Iterator[Task]:
        """All tasks."""
        return chain.from_iterable(alike.values() for alike in self._parts.values())

    def __contains__(self, task_id: object) -> bool:
        return isinstance(task_id, str) and self.get(task_id) is not None

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(self._parts.values())

    def __len__(self) -> int:
        return self._count

    def _weigh(self, task: Task, sign: int) -> None:
        data = task.data
        if type(data) is not bytes:
            self.stored += sign
            self._beyond_bytes += sign * _STORED_BYTES
        else:
            size_bytes = len(data)
            self._beyond_bytes += sign * size_bytes
            if size_bytes > IN_MEMORY_MAX_BYTES:
                self.loaded_bytes += sign * size_bytes
        if task.tags:
            self._beyond_bytes += sign * _tags_bytes(task.tags)


def memory_of(draft: TaskDraft) -> int:
    """The memory in bytes that a task made of ``draft`` will take while it waits."""
    size_bytes = len(draft.data)
    beyond_bytes = size_bytes if size_bytes <= IN_MEMORY_MAX_BYTES else _STORED_BYTES
    unique = unique_key(draft)
    return TASK_BYTES + beyond_bytes + _tags_bytes(draft.tags) + (0 if unique is None else unique_bytes(unique))


def unique_bytes(unique: UniqueKey) -> int:
    """The memory in bytes that a unique key takes, with its places where keys are looked up."""
    return UNIQUE_BYTES + len(unique.key) * (1 if unique.key.isascii() else _WIDE_CHAR_BYTES)


def _tags_bytes(tags: tuple[str, ...]) -> int:
    return sum([_TAG_BYTES + len(tag) * (1 if tag.isascii() else _WIDE_CHAR_BYTES) for tag in tags])
