"""From a decision to its effect: events go into the journal and, once safe there, are applied to the live state.

A decision's tasks are *reserved* meanwhile, so that nothing else is decided about them. Since events are applied
in the order of the journal and never before they are safe, the live state is at every moment what a replay of
the journal would give; and a decision that could not be written has never happened.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from taskd.model.errors import BODY_TOO_LARGE, TOO_MANY_REQUESTS, ContractError
from taskd.model.event import Event as PublishedEvent
from taskd.model.task import Task
from taskd.store.base import StoreUnavailableError
from taskd.store.embedded.catalogue.catalogue import Catalogue
from taskd.store.embedded.events import Event, encode_events
from taskd.store.embedded.journal.format import MAX_PAYLOAD_BYTES
from taskd.store.embedded.journal.writer import Entry, JournalWriter
from taskd.store.embedded.state import LiveState, apply_frame

JOURNAL_QUEUE_MAX_BYTES = 64 * 2**20
"""Of what waits to be written to the journal: what a slow disk may hold up in memory."""
Applied = Callable[[list[Task]], None]
"""Hears of frames that were applied: the tasks they added or changed, as they are now."""
Undo = Callable[[], None]


class Pending(Entry, kw_only=True):
    """A frame on its way: what it says, the tasks it speaks of, and the future that gives them as they became."""

    events: Sequence[Event]
    reserved: Sequence[str]
    undo: Undo | None
    done: asyncio.Future[list[Task]]


class CommitLog:
    """Owns the live state. The journal's writer talks to it from another thread; all else is for one event loop."""

    def __init__(
        self,
        state: LiveState,
        catalogue: Catalogue,
        on_applied: Applied,
        on_fatal: Callable[[BaseException], None],
    ) -> None:
        self.state = state
        self._catalogue = catalogue
        self._on_applied = on_applied
        self._on_fatal = on_fatal
        self._reserved: set[str] = set()
        self._freed: dict[str, asyncio.Future[None]] = {}
        """Who waits until nothing is being decided about a task, by its id."""
        self._gathered: list[Pending] = []
        self._unwritten_bytes = 0
        self._loop = asyncio.get_running_loop()
        self._journal: JournalWriter[Pending]

    def attach(self, journal: JournalWriter[Pending]) -> None:
        """Says where frames go; the journal's listener is this object."""
        self._journal = journal
        journal.reserve_for(len(self.state.tasks))

    def is_free(self, task_id: str) -> bool:
        """Whether no decision about the task is on its way."""
        return task_id not in self._reserved

    def reserve(self, task_ids: Iterable[str]) -> None:
        """Nothing else is decided about these tasks until a frame that reserves them has come to its end."""
        self._reserved.update(task_ids)

    def release(self, task_ids: Iterable[str]) -> None:
        """No frame will come for tasks that were reserved."""
        ids = tuple(task_ids)
        self._reserved.difference_update(ids)
        if self._freed:
            self._tell_freed(ids)

    def when_free(self, task_id: str) -> "asyncio.Future[None]":
        """Done when no decision about the task, which is reserved, is on its way any more. May be shared."""
        if task_id not in self._freed:
            self._freed[task_id] = self._loop.create_future()
        return self._freed[task_id]

    def _tell_freed(self, task_ids: Iterable[str]) -> None:
        for task_id in task_ids:
            if (waiting := self._freed.pop(task_id, None)) is not None:
                waiting.set_result(None)

    def require_writable(self) -> None:
        """Raises ``StoreUnavailableError`` while only what is essential can be written."""
        if self._journal.full is not None:
            raise unavailable(self._journal.full)

    def require_room(self, live_tasks_max: int) -> None:
        """Raises ``ContractError`` ``TOO_MANY_REQUESTS`` while memory already holds as much as it may."""
        if len(self.state.tasks) >= live_tasks_max:
            message = f"{len(self.state.tasks)} tasks wait or run, which is the limit; try again when some have ended."
            raise ContractError(TOO_MANY_REQUESTS, message)
        if self._unwritten_bytes > JOURNAL_QUEUE_MAX_BYTES:
            message = "More was created than the disk can take now; try again in a moment."
            raise ContractError(TOO_MANY_REQUESTS, message)

    def submit(
        self,
        events: Sequence[Event],
        reserve: Sequence[str] = (),
        *,
        undo: Undo | None = None,
        essential: bool = False,
    ) -> asyncio.Future[list[Task]]:
        """Sends one frame on its way; the future gives the tasks it changed when it has been applied.

        ``undo`` runs at once when the frame is refused, before the future raises ``StoreUnavailableError``.
        ``essential`` frames may use the space reserved for a full disk.
        """
        payload = encode_events(events)
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise ContractError(BODY_TOO_LARGE, f"These are {len(payload)} bytes for one step; send them in parts.")
        done: asyncio.Future[list[Task]] = self._loop.create_future()
        self._unwritten_bytes += len(payload)
        if reserve:
            self._reserved.update(reserve)
        if not self._gathered:
            self._loop.call_soon(self.flush)
        self._gathered.append(
            Pending(payload=payload, essential=essential, events=events, reserved=reserve, undo=undo, done=done)
        )
        return done

    def flush(self) -> None:
        """Hands the journal all frames of this turn of the event loop at once.

        Waking its thread for each of them would cost more than the frame: the two would fight for the interpreter.
        """
        if self._gathered:
            self._journal.append(self._gathered)
            self._gathered = []

    def committed(self, group: Sequence[Pending]) -> None:
        """From the journal's thread: these frames are safe."""
        self._loop.call_soon_threadsafe(self._apply_group, group)

    def refused(self, group: Sequence[Pending], error: OSError) -> None:
        """From the journal's thread: these frames were not written."""
        self._loop.call_soon_threadsafe(self._refuse_group, group, error)

    def fatal(self, error: BaseException) -> None:
        """From the journal's thread: it has stopped."""
        self._loop.call_soon_threadsafe(self._on_fatal, error)

    def _apply_group(self, group: Sequence[Pending]) -> None:
        added: list[Task] = []
        changed: list[Task] = []
        published: list[PublishedEvent] = []
        try:
            for pending in group:
                self._apply(pending, added, changed)
                published += self.state.events.take_published()
        except Exception as error:  # a frame that does not fit the state would not fit it at the next start either
            self._on_fatal(error)
            raise
        if self.state.webhooks.projected:
            self._catalogue.put_deliveries(self.state.webhooks.take_projected())  # before the position that covers it
        # Once for the group: frames of one group speak of different tasks, since each task is reserved by one of them.
        self._catalogue.put(group[-1].sequence, added, changed, self.state.take_deleted(), published)
        self._on_applied(added + changed)
        self._journal.reserve_for(len(self.state.tasks))

    def _apply(self, pending: Pending, added: list[Task], changed: list[Task]) -> None:
        """Applies one frame, and notes the tasks it added and changed."""
        now_added, now_changed = apply_frame(self.state, pending.events)
        self._let_go(pending)
        added += now_added
        changed += now_changed
        if not pending.done.done():  # its caller may have been cancelled
            pending.done.set_result(now_added + now_changed)

    def _refuse_group(self, group: Sequence[Pending], error: OSError) -> None:
        for pending in group:
            if pending.undo is not None:
                pending.undo()
            self._let_go(pending)
            if not pending.done.done():
                pending.done.set_exception(unavailable(error))

    def _let_go(self, pending: Pending) -> None:
        self._unwritten_bytes -= len(pending.payload)
        if pending.reserved:
            self._reserved.difference_update(pending.reserved)
            if self._freed:
                self._tell_freed(pending.reserved)


def unavailable(error: OSError) -> StoreUnavailableError:
    """What callers hear when the journal takes nothing."""
    reason = error.strerror or str(error)
    return StoreUnavailableError(
        f"Nothing can be stored now ({reason}). What was accepted earlier is safe; try again later."
    )
