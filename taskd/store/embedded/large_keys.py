"""The keys of due tasks whose data is not in memory, for start rules that were set after they came.

What comes later has its keys read on its way in. These are read in the background, some at a time, and nothing else
waits for them.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from taskd.model.task import Task
from taskd.store.base import StoreUnavailableError
from taskd.store.embedded.large_data import LargeData, up_to_bytes
from taskd.store.embedded.queue.usage import Usages
from taskd.store.embedded.stored_data import stored_data

log = logging.getLogger(__name__)

_AT_ONCE = 64
_AT_ONCE_BYTES = 4 << 20
_TRY_AGAIN_S = 1.0


class LargeKeys:
    """Reads keys, and has tasks put back into the queue once theirs are known."""

    def __init__(
        self,
        usages: Usages,
        large: LargeData,
        live: Callable[[str], Task | None],
        put_back: Callable[[Sequence[Task]], None],
    ) -> None:
        self._usages = usages
        self._large = large
        self._live = live
        self._put_back = put_back
        self._wanted: dict[str, Task] = {}
        self._reading: asyncio.Task[None] | None = None

    def read(self, tasks: Sequence[Task]) -> None:
        """Takes tasks out of whose data keys are to be read."""
        self._wanted.update((task.id, task) for task in tasks)
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_all(), name="keys of large data")

    def forget(self, task_ids: Iterable[str]) -> None:
        """Does not put these back: their owner has done so."""
        for task_id in task_ids:
            self._wanted.pop(task_id, None)

    async def stop(self) -> None:
        """Reads no more. Idempotent."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])

    async def _read_all(self) -> None:
        while self._wanted:
            some = list(up_to_bytes([*islice(self._wanted.values(), _AT_ONCE)], _AT_ONCE_BYTES))
            try:
                data = await self._large.data_of_all(some)
            except StoreUnavailableError as error:
                log.warning("Tasks of functions with start rules cannot be read, and wait: %s", error)
                await asyncio.sleep(_TRY_AGAIN_S)
                continue
            some = [task for task in some if self._wanted.get(task.id) is task]
            for task in some:
                del self._wanted[task.id]
                self._note(task, data.get(task.seq, b""))
            self._put_back(some)
        self._reading = None

    def _note(self, task: Task, data: bytes) -> None:
        """Lost data has no keys; the task fails when its turn comes. One that was replaced meanwhile has others."""
        usage = self._usages.by_function.get(task.function_name)
        if usage is not None and stored_data(task) is not None and self._live(task.id) is task:
            usage.large_keys[task.id] = usage.read_keys(data)
