"""How much memory live tasks may take: past that none are created, but whatever exists already goes on."""

from asyncio import Future
from collections.abc import Sequence
from typing import Any

from taskd.model.errors import TOO_MANY_REQUESTS, ContractError
from taskd.model.task import TaskDraft
from taskd.store.embedded.live_tasks import LiveTasks, memory_of
from taskd.store.embedded.webhook_state import WebhookState

_MIB = 1 << 20
_NEAR_BYTES = 256 * _MIB
"""More than all tasks take that can be on their way at once: as long as so much is free, nobody counts these."""
_LOADED_SHARE = 4
"""One in so many bytes is for the large data of running tasks."""


class LiveMemory:
    """What of ``limit_bytes`` the live ``tasks`` take, and those that are on their way to them."""

    def __init__(self, tasks: LiveTasks, limit_bytes: int, webhooks: WebhookState | None = None) -> None:
        """Ended tasks that ``webhooks`` are still to be told of count as well: a crowd of conditions may take long."""
        self._tasks = tasks
        self._webhooks = webhooks or WebhookState()
        self.limit_bytes = limit_bytes
        self.loaded_max_bytes = limit_bytes // _LOADED_SHARE
        """How much large data of running tasks may be in memory, unless it is that of a single one."""
        self._admitted_bytes = 0

    @property
    def used_bytes(self) -> int:
        """What live tasks take now."""
        return self._tasks.memory_bytes + self._webhooks.owed_bytes

    @property
    def is_exceeded(self) -> bool:
        """Whether there is more than may be, as after the limit was lowered."""
        return self.used_bytes > self.limit_bytes

    def admit(self, drafts: Sequence[TaskDraft]) -> int:
        """What to :meth:`hold` for ``drafts`` until they are live tasks.

        :raises ContractError: ``TOO_MANY_REQUESTS`` if they would take more than is free.
        """
        taken_bytes = self.used_bytes + self._admitted_bytes
        if taken_bytes + _NEAR_BYTES < self.limit_bytes:
            return 0
        wanted_bytes = sum(map(memory_of, drafts))
        if taken_bytes + wanted_bytes > self.limit_bytes:
            message = (
                f"Live tasks take {taken_bytes / _MIB:.1f} MiB of memory and may take {self.limit_bytes // _MIB}, by "
                f"[store] live_memory_mib; {wanted_bytes / _MIB:.1f} more are too many. Try again when some have ended."
            )
            raise ContractError(TOO_MANY_REQUESTS, message)
        return wanted_bytes

    def hold(self, size_bytes: int, until: "Future[Any]") -> None:
        """Counts ``size_bytes`` as taken until then."""
        if size_bytes:
            self._admitted_bytes += size_bytes
            until.add_done_callback(lambda _: self._give_back(size_bytes))

    def _give_back(self, size_bytes: int) -> None:
        self._admitted_bytes -= size_bytes
