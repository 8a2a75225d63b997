"""The tasks of the future, by the second in which they are due.

A task in a bucket costs a pointer and no comparison. In a bucket of many, those with the same start and priority form
a group, which becomes due as a whole: a million tasks for one moment must not hold up the event loop when it comes.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterator

from taskd.model.task import Task

GROUP_MIN = 1024
"""A bucket of no more than these is not grouped: groups would cost more memory than they save time."""

IsWaiting = Callable[[Task], bool]
Group = deque[Task]
"""Tasks with the same start and priority, due at their start, in the order of creation; never empty."""
Coming = tuple[int, int, Group]
"""Start, minus priority, group."""


class Bucket:
    """The tasks of one second: those in groups, and the others."""

    __slots__ = ("_group_min", "_groups", "earliest_ms", "others")

    def __init__(self, group_min: int) -> None:
        self._group_min = group_min
        self.others: list[Task] = []
        self._groups: dict[tuple[int, int], Group] = {}
        self.earliest_ms = 1 << 63
        """No task is due before this."""

    def add(self, task: Task) -> None:
        """Takes one task."""
        self.earliest_ms = min(self.earliest_ms, task.due_ms)
        if not self._groups or not self._join(task):
            self.others.append(task)
            if not self._groups and len(self.others) > self._group_min:
                self.others = [task for task in self.others if not self._join(task)]

    def groups(self) -> Iterator[Coming]:
        """The groups."""
        return ((start_ms, rank, group) for (start_ms, rank), group in self._groups.items())

    def drop_dead(self, is_waiting: IsWaiting) -> int:
        """Drops tasks that no longer wait until one is found that does; gives how many were dropped."""
        dropped = 0
        while self.others and not is_waiting(self.others[-1]):
            self.others.pop()
            dropped += 1
        while not self.others and self._groups:
            key, group = next(iter(self._groups.items()))
            dropped += drop_dead(group, is_waiting)
            if group:
                break
            del self._groups[key]
        return dropped

    def __iter__(self) -> Iterator[Task]:
        yield from self.others
        for group in self._groups.values():
            yield from group

    def __bool__(self) -> bool:
        return bool(self.others or self._groups)

    def _join(self, task: Task) -> bool:
        """Puts the task into its group, unless that would break the order of creation."""
        if task.due_ms != task.start_ms:
            return False
        group = self._groups.setdefault((task.start_ms, -task.priority), deque())
        if group and group[-1].seq > task.seq:
            return False
        group.append(task)
        return True


class Buckets:
    """All buckets; each is opened once, when its second comes."""

    def __init__(self, group_min: int) -> None:
        self._group_min = group_min
        self._by_second: dict[int, Bucket] = {}
        self._seconds: list[int] = []
        """A heap of the keys of ``_by_second``."""
        self.opened_s = 0
        """The second that was opened last: what is due in it or before does not belong here any more."""

    def put(self, task: Task) -> None:
        """Takes one task."""
        second = task.due_ms // 1000
        bucket = self._by_second.get(second)
        if bucket is None:
            bucket = self._by_second[second] = Bucket(self._group_min)
            heapq.heappush(self._seconds, second)
        bucket.add(task)

    def open_until(self, second: int) -> Iterator[tuple[int, Bucket]]:
        """Takes out the buckets up to this second, in order."""
        while self._seconds and self._seconds[0] <= second:
            self.opened_s = heapq.heappop(self._seconds)
            yield self.opened_s, self._by_second.pop(self.opened_s)

    def first(self) -> Bucket | None:
        """The earliest bucket."""
        return self._by_second[self._seconds[0]] if self._seconds else None

    def drop_first(self) -> None:
        """Drops the earliest bucket, without opening it."""
        del self._by_second[heapq.heappop(self._seconds)]

    def __iter__(self) -> Iterator[Task]:
        for bucket in self._by_second.values():
            yield from bucket


def drop_dead(group: Group, is_waiting: IsWaiting) -> int:
    """Drops tasks from the beginning of a group until one still waits; gives how many were dropped."""
    dropped = 0
    while group and not is_waiting(group[0]):
        group.popleft()
        dropped += 1
    return dropped
