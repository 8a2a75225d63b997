"""What the catalogue can no longer learn: the ends of tasks in frames that a snapshot has taken the place of.

That happens when the catalogue is new, because the old one was damaged or removed, or when it is older than the
snapshot: restored from an earlier copy, say, or bereft of its ``-wal`` file. While the files are left to taskd it
never does: frames go only when the catalogue has durably taken them in.
"""

import logging
from collections.abc import Sequence
from typing import Protocol

from taskd.model import task as transitions
from taskd.model.event import Event
from taskd.model.status import Status
from taskd.model.task import ZOMBIE_ERROR_NAME, ErrorType, Task, TaskError
from taskd.store.embedded.journal.directory import Segment
from taskd.store.embedded.journal.format import Kind
from taskd.store.embedded.state import LiveState
from taskd.store.embedded.webhook_state import Projected

log = logging.getLogger(__name__)

_UNKNOWN_END = TaskError(
    ErrorType.INVOCATION,
    ZOMBIE_ERROR_NAME,
    "The task came to an end, but the catalogue that said how was replaced by an older one.",
)


class Projection(Protocol):
    """What recovery brings up to date: the catalogue's writer, or whatever else follows the journal."""

    @property
    def position(self) -> int:
        """Everything up to this frame has been taken in."""

    def put(
        self,
        position: int,
        added: Sequence[Task],
        changed: Sequence[Task],
        deleted: Sequence[int] = (),
        published: Sequence[Event] = (),
    ) -> None:
        """Takes in the frame at ``position``; ``deleted`` are the numbers of ended tasks that are gone with it."""

    def put_deliveries(self, projected: Projected) -> None:
        """Takes in what has changed of deliveries, before the position of the frame that changed it."""

    def wait_for_capacity(self) -> None:
        """Blocks the calling thread while too much waits to be taken in."""

    def pending_tasks(self) -> list[Task]:
        """The tasks that had not ended at ``position``."""


class HistoryGap:
    """The frames between what ``catalogue`` has seen and the snapshot that the ``live`` segments begin with."""

    def __init__(self, live: list[Segment], catalogue: Projection, now_ms: int) -> None:
        self._catalogue = catalogue
        self._now_ms = now_ms
        self._known = catalogue.position
        begins_with_snapshot = bool(live) and live[0].header.kind is Kind.SNAPSHOT
        self._snapshot_sequence = live[0].header.last_sequence if begins_with_snapshot else 0
        self._open = self._known < self._snapshot_sequence
        self._pending = catalogue.pending_tasks() if self._open and self._known else []
        """What had not ended when the catalogue last heard of it."""
        self.lost: str | None = None
        """For people: which part of the history is lost; ``None`` if all of it is there."""

    def close(self, state: LiveState) -> None:
        """Call it when ``state`` is that of the snapshot, before anything of later frames is handed to the catalogue.

        A task that the catalogue takes for waiting or running, and the snapshot does not hold, has ended meanwhile.
        Nobody knows how, so it gets the end of tasks of which that is not known; else it would be pending for ever.
        """
        if not self._open:
            return
        self._open = False
        ended = [self._end(task) for task in self._pending if task.id not in state.tasks]
        self._pending = []
        if ended:
            self._catalogue.put(self._snapshot_sequence, [], ended)
        self.lost = self._describe(state.ended, state.events.count, len(ended))
        if self.lost is not None:
            log.error("%s", self.lost)

    def _end(self, task: Task) -> Task:
        if task.status is Status.NEW:
            task = transitions.start(task, self._now_ms)
        return transitions.fail(task, self._now_ms, _UNKNOWN_END)

    def _describe(self, ever_ended: int, ever_published: int, ended: int) -> str | None:
        if self._known:
            return (
                f"The catalogue is older than the journal: it has seen frame {self._known}, and the snapshot that the "
                f"journal begins with was made after frame {self._snapshot_sequence}. What ended in between is lost: "
                f"{ended} tasks are now shown as failed with {ZOMBIE_ERROR_NAME}, and those that were also created in "
                f"between are not listed, nor are events that were published then. Waiting and running tasks are all "
                f"there. If a newer catalogue.db with its -wal file still exists, stop taskd and put both back."
            )
        if not ever_ended and not ever_published:
            return None
        events = f", nor the {ever_published} events that were published" if ever_published else ""
        return (
            f"The catalogue is new, and the journal no longer holds the {ever_ended} tasks that ended{events} before "
            f"its snapshot: their history and their logs are lost. Waiting and running tasks are all there."
        )
