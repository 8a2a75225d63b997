"""Claiming tasks some of which have their data elsewhere: it is read before they start, and only as much as may be.

Nothing is started whose data is not at hand. What cannot be read now waits on, and lets others go before it. A task
whose data is lost ends with an error in the same step in which it starts.
"""

import functools
import logging
from collections.abc import Callable, Sequence

from taskd.model.task import Task
from taskd.store.base import StoreUnavailableError
from taskd.store.embedded import events
from taskd.store.embedded.commit import CommitLog
from taskd.store.embedded.events import Event
from taskd.store.embedded.large_data import DATA_LOST, LargeData
from taskd.store.embedded.live_memory import LiveMemory
from taskd.store.embedded.stored_data import stored_data

log = logging.getLogger(__name__)


class LargeClaims:
    """Claims of tasks that were taken out of the queue, into which ``put_back`` puts what is not claimed.

    Nobody is told of what is put back: whoever claims looks again, now and then or when :meth:`look_again` says so.
    """

    def __init__(
        self, commits: CommitLog, large: LargeData, memory: LiveMemory, put_back: Callable[[Sequence[Task]], None]
    ) -> None:
        self._commits = commits
        self._large = large
        self._memory = memory
        self._put_back = put_back
        self._awaited_bytes = 0
        """What the best task needs; 0 unless it waits for that."""

    @property
    def is_blocked(self) -> bool:
        """Whether the best task waits until data of running ones has left memory."""
        return self._awaited_bytes > 0

    def look_again(self) -> bool:
        """Whether such a wait is over now."""
        if not self._awaited_bytes or not self._has_room(self._awaited_bytes):
            return False
        self._awaited_bytes = 0
        return True

    def forget_wait(self) -> None:
        """What is best is looked at anew: something else may be by now."""
        self._awaited_bytes = 0

    async def claim(self, tasks: Sequence[Task], now_ms: int) -> list[Task]:
        """Claims ``tasks``, best first, as far as there is memory for their data; see ``TaskQueue.claim``.

        :raises StoreUnavailableError: none of them can be read now, or nothing can be written.
        """
        fitting = self._fitting(tasks)
        self._put_back(tasks[len(fitting) :])
        if not fitting:
            return []
        self._commits.reserve(task.id for task in fitting)
        try:
            loaded = await self._large.load(fitting)
        except StoreUnavailableError:
            self._give_back([task for task in fitting if stored_data(task) is not None])
            fitting = loaded = [task for task in fitting if stored_data(task) is None]
            if not fitting:
                raise
        except BaseException:
            self._give_back(fitting)
            raise
        if self._commits.state.pause is not None:  # since this began
            self._commits.release(task.id for task in fitting)
            self._undo(fitting)
            return []
        return await self._start(fitting, loaded, now_ms)

    async def _start(self, tasks: Sequence[Task], loaded: Sequence[Task], now_ms: int) -> list[Task]:
        """Starts ``tasks``, and ends at once those that are not among the ``loaded`` ones."""
        ids = tuple(task.id for task in tasks)
        lost = set(ids).difference(task.id for task in loaded)
        keys = self._commits.state.usages.keys_of(tasks)
        batch: list[Event] = [events.Started(ids, now_ms, keys)]
        batch += [events.Failed(task_id, now_ms, DATA_LOST, owes_event=True) for task_id in ids if task_id in lost]
        started = await self._commits.submit(batch, ids, undo=functools.partial(self._undo, tasks))
        for task_id in sorted(lost):
            log.error("Task %s was not run: its data was damaged on the disk. It is shown as failed.", task_id)
        return [task for task in started[: len(ids)] if task.id not in lost]

    def _undo(self, tasks: Sequence[Task]) -> None:
        self._commits.state.tasks.put(tasks)
        self._put_back(tasks)

    def _give_back(self, tasks: Sequence[Task]) -> None:
        self._commits.release(task.id for task in tasks)
        self._put_back(tasks)

    def _fitting(self, tasks: Sequence[Task]) -> Sequence[Task]:
        """The best ``tasks``, up to the first for whose data there is no room."""
        wanted_bytes = 0
        for count, task in enumerate(tasks):
            size_bytes = self._size_bytes(task)
            if size_bytes and not self._has_room(wanted_bytes + size_bytes, is_first=not wanted_bytes):
                self._awaited_bytes = 0 if count else size_bytes
                return tasks[:count]
            wanted_bytes += size_bytes
        return tasks

    def _has_room(self, size_bytes: int, *, is_first: bool = True) -> bool:
        """One task may always run, however large it is."""
        loaded_bytes = self._commits.state.tasks.loaded_bytes
        return loaded_bytes + size_bytes <= self._memory.loaded_max_bytes or (is_first and not loaded_bytes)

    def _size_bytes(self, task: Task) -> int:
        stored = stored_data(task)
        return 0 if stored is None else stored.size_bytes
