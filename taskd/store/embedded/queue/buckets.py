"""The tasks of the future, by the stretch of time in which they are due: the nearer, the shorter the stretch.

A task in a bucket costs a pointer and no comparison with others. A bucket with many tasks is parted by time, down to
the millisecond, and what is due in the same millisecond lies in runs: so a bucket whose time has passed becomes due as
a whole, and one whose time has come has few tasks that must be told apart.
"""

import heapq
from collections.abc import Iterator

from taskd.model.task import Task
from taskd.store.embedded.queue.sorted_runs import RUN_MAX, Run

_PART_BITS = 5
"""A bucket has 32 parts."""
_SHORT = 10
"""The length of a bucket as a power of two of milliseconds: a second,"""
_LONG = (_SHORT + 2 * _PART_BITS, _SHORT + _PART_BITS)
"""17 minutes and half a minute."""
_SHIFT_BITS = 5


class Bucket:
    """Tasks that are due within ``2 ** shift`` milliseconds from ``begin_ms`` on."""

    __slots__ = ("_parts", "_run_max", "_runs", "begin_ms", "earliest_ms", "shift")

    def __init__(self, begin_ms: int, shift: int, run_max: int) -> None:
        self.begin_ms = begin_ms
        self.shift = shift
        self.earliest_ms = 1 << 63
        """No task is due before this."""
        self._run_max = run_max
        self._runs = [Run()]
        """Several only in a bucket of one millisecond."""
        self._parts: dict[int, Bucket] = {}
        """By the time they begin. If there are any, all tasks are in them."""

    @property
    def end_ms(self) -> int:
        """When it is over."""
        return self.begin_ms + (1 << self.shift)

    @property
    def key(self) -> int:
        """Orders buckets by the time they begin, and is different for each."""
        return self.begin_ms << _SHIFT_BITS | self.shift

    @property
    def is_short(self) -> bool:
        """Whether its tasks are few, and due within a second."""
        return self.shift <= _SHORT and not self._parts

    def add(self, task: Task, due_ms: int) -> None:
        """Takes one task."""
        if due_ms < self.earliest_ms:  # noqa: PLR1730  a call of min() takes four times as long
            self.earliest_ms = due_ms
        if self._parts:
            self._add_to_part(task, due_ms)
            return
        run = self._runs[-1]
        run.add(task)
        if len(run.tasks) >= self._run_max:
            self._make_room()

    def parts(self) -> Iterator["Bucket"]:
        """What it falls into by time."""
        if not self._parts:
            self._part()
        return iter(self._parts.values())

    def runs(self) -> Iterator[Run]:
        """Its tasks; no run is empty."""
        for part in self._parts.values():
            yield from part.runs()
        yield from (run for run in self._runs if run.tasks)

    def __iter__(self) -> Iterator[Task]:
        for run in self.runs():
            yield from run.tasks

    def _make_room(self) -> None:
        if self.shift:
            self._part()
        else:
            self._runs.append(Run())

    def _part(self) -> None:
        [run] = self._runs
        self._runs = []
        while run.tasks:  # whoever else holds the run finds it empty
            task = run.tasks.pop()
            self._add_to_part(task, task.due_ms)

    def _add_to_part(self, task: Task, due_ms: int) -> None:
        shift = self.shift - _PART_BITS
        begin_ms = due_ms >> shift << shift
        part = self._parts.get(begin_ms)
        if part is None:
            part = self._parts[begin_ms] = Bucket(begin_ms, shift, self._run_max)
        part.add(task, due_ms)


class Buckets:
    """All buckets; each is opened once, when its time comes."""

    def __init__(self, run_max: int = RUN_MAX) -> None:
        self._run_max = run_max
        self._by_key: dict[int, Bucket] = {}
        self._keys: list[int] = []
        """A heap of the keys of ``_by_key``."""
        self.opened_ms = 0
        """What is due before this does not belong here any more."""

    def put(self, task: Task, due_ms: int) -> None:
        """Takes one task."""
        shift = self._shift(due_ms)
        begin_ms = due_ms >> shift << shift
        bucket = self._by_key.get(begin_ms << _SHIFT_BITS | shift)
        if bucket is None:
            bucket = Bucket(begin_ms, shift, self._run_max)
            self._insert(bucket)
        bucket.add(task, due_ms)

    def open_until(self, now_ms: int) -> Iterator[Bucket]:
        """Takes out the buckets that are over, and those with few tasks that have begun."""
        while self._keys and self._keys[0] >> _SHIFT_BITS <= now_ms:
            bucket = self._by_key.pop(heapq.heappop(self._keys))
            if bucket.end_ms <= now_ms + 1 or bucket.is_short:
                yield bucket
            else:
                for part in bucket.parts():
                    self._insert(part)
        self.opened_ms = max(self.opened_ms, (now_ms >> _SHORT) + 1 << _SHORT)

    def first(self) -> Bucket | None:
        """The earliest bucket."""
        return self._by_key[self._keys[0]] if self._keys else None

    def drop_first(self) -> None:
        """Drops the earliest bucket, without opening it."""
        del self._by_key[heapq.heappop(self._keys)]

    def runs(self) -> Iterator[Run]:
        """The runs of all buckets."""
        for bucket in self._by_key.values():
            yield from bucket.runs()

    def __iter__(self) -> Iterator[Task]:
        for bucket in self._by_key.values():
            yield from bucket

    def _shift(self, due_ms: int) -> int:
        """Of the longest stretch of time around this moment that was not opened yet."""
        for shift in _LONG:
            if due_ms >> shift << shift >= self.opened_ms:
                return shift
        return _SHORT

    def _insert(self, bucket: Bucket) -> None:
        self._by_key[bucket.key] = bucket
        heapq.heappush(self._keys, bucket.key)
