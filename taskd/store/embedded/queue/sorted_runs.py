"""Runs: some tasks that become due together, put in order no sooner than one of them is wanted.

A million tasks that fall due at once are then a thousand runs, and nothing stands still while they are ordered.
"""

from collections.abc import Callable, Iterable

from taskd.model.task import Task

RUN_MAX = 1024
"""Tasks of a run: ordering these takes half a millisecond."""

IsWaiting = Callable[[Task], bool]
Key = tuple[int, int, int]
"""Minus priority, start and seq: the order of work among due tasks."""
_LAST: Key = (1 << 63, 0, 0)


def key_of(task: Task) -> Key:
    """Where the task stands among due ones."""
    return (-task.priority, task.start_ms, task.seq)


class Run:
    """Tasks, and a lower bound of their keys."""

    __slots__ = ("bound", "is_ordered", "tasks")

    def __init__(self, tasks: Iterable[Task] = ()) -> None:
        self.tasks = list(tasks)
        """The best one last, once they are in order: there it is cheap to take."""
        self.bound = min(map(key_of, self.tasks), default=_LAST)
        """No task stands before this; the best one stood there before some were cancelled."""
        self.is_ordered = False

    def __lt__(self, other: "Run") -> bool:
        """Runs with the same bound hold states of one task, which was replaced: neither goes first."""
        return False

    def add(self, task: Task) -> None:
        """Takes one task; not to be called once they are in order."""
        self.tasks.append(task)
        key = (-task.priority, task.start_ms, task.seq)
        if key < self.bound:  # noqa: PLR1730  a call of min() takes four times as long
            self.bound = key

    def order(self) -> None:
        """Puts them in order."""
        if not self.is_ordered:
            self.tasks.sort(key=key_of, reverse=True)
            self.is_ordered = True

    def drop_dead(self, is_waiting: IsWaiting) -> int:
        """Drops the tasks that no longer wait; gives how many those were."""
        before = len(self.tasks)
        self.tasks = [task for task in self.tasks if is_waiting(task)]
        return before - len(self.tasks)
