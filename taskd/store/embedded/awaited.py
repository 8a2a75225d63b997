"""Tasks whose end somebody waits for.

A task that nobody waits for costs one look at whether anybody waits for any.
"""

import asyncio
from collections.abc import Iterable

from taskd.model.status import FINAL
from taskd.model.task import Task


class AwaitedTasks:
    """Tells each waiter of the end of its task. For one event loop."""

    def __init__(self) -> None:
        self._waiters: dict[str, set[asyncio.Future[Task]]] = {}

    def __bool__(self) -> bool:
        return bool(self._waiters)

    async def end_of(self, task_id: str) -> Task:
        """The task as it is once it has ended, which must not have happened yet. May be cancelled."""
        waiter: asyncio.Future[Task] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(task_id, set()).add(waiter)
        try:
            return await waiter
        finally:
            self._forget(task_id, waiter)

    def _forget(self, task_id: str, waiter: "asyncio.Future[Task]") -> None:
        waiters = self._waiters.get(task_id)
        if waiters is not None:  # the end did not come before
            waiters.discard(waiter)
            if not waiters:
                del self._waiters[task_id]

    def changed(self, tasks: Iterable[Task]) -> None:
        """Tells those who wait for one of ``tasks`` that has ended."""
        for task in tasks:
            if task.status in FINAL:
                for waiter in self._waiters.pop(task.id, ()):
                    if not waiter.done():
                        waiter.set_result(task)
