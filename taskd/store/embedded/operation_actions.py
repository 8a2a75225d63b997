"""What an operation does to the tasks whose turn it is: a small class for each action.

Each says what is to happen as events, which go into one frame with how far the operation has come. So none of it
happens twice, whatever becomes of the process. All is decided by how the tasks are at that moment.
"""

import functools
import sqlite3
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Protocol, TypeVar

from msgspec import Struct

from taskd.model.clock import Clock
from taskd.model.errors import ILLEGAL_STATE, TOO_MANY_REQUESTS, ContractError
from taskd.model.operation import Operation, replay_of
from taskd.model.task import Task, TaskDraft
from taskd.model.uniqueness import Slot, slot_of
from taskd.store.base import StoreUnavailableError
from taskd.store.embedded import events
from taskd.store.embedded.catalogue import deletion, matches
from taskd.store.embedded.catalogue.catalogue import Catalogue
from taskd.store.embedded.commit import CommitLog, Undo
from taskd.store.embedded.creation import Creation
from taskd.store.embedded.events import Event
from taskd.store.embedded.live_memory import LiveMemory
from taskd.store.embedded.unique_gate import UniqueGate

T = TypeVar("T")
_REPLAYED_AT_ONCE_BYTES = 4 << 20
"""Of data that is read and written in one step."""
_SHARE_FOR_REPLAYS = 0.75
"""Of the room for live tasks: what an operation makes must not have the creations of others refused."""


class Turn(Struct, frozen=True):
    """What happens to the next tasks: to ``done`` of them, while ``skipped`` were not in a state for it."""

    events: Sequence[Event]
    done: int
    skipped: int
    reserve: Sequence[str] = ()
    """The waiting tasks that it decides about."""
    undo: Undo | None = None
    slots: Sequence[Slot] = ()
    """The unique keys that nobody else may decide about until then."""


class Action(Protocol):
    """What one kind of operation does."""

    async def turn(self, operation: Operation, seqs: Sequence[int]) -> Turn:
        """The turn of the tasks with these numbers, or of the first of them. Its frame must be sent on its way at once.

        :raises ContractError: it cannot be done now; nothing has changed.
        """


class CancelAction:
    """Cancels what still waits."""

    def __init__(
        self,
        commits: CommitLog,
        catalogue: Catalogue,
        clock: Clock,
        *,
        gate: UniqueGate,
        is_waiting: Callable[[Task], bool],
        requeue: Callable[[Sequence[Task]], None],
    ) -> None:
        """``requeue`` puts back tasks whose cancelling was refused."""
        self._commits = commits
        self._catalogue = catalogue
        self._clock = clock
        self._gate = gate
        self._is_waiting = is_waiting
        self._requeue = requeue

    async def turn(self, operation: Operation, seqs: Sequence[int]) -> Turn:
        """See :class:`Action`."""
        await self._catalogue.wait_for_capacity()
        ids = await read(self._catalogue, functools.partial(matches.ids_of, seqs=seqs))
        return await self.turn_of(ids, len(seqs))

    async def turn_of(self, ids: Sequence[str], count: int) -> Turn:
        """The turn of the tasks of these ids, which are there yet of ``count``."""
        for task_id in ids:
            await self._gate.replaced(task_id)  # it waits before and after
        self._commits.require_writable()
        live = (self._commits.state.tasks.get(task_id) for task_id in ids)
        waiting = [task for task in live if task is not None and self._is_waiting(task)]
        now_ms = self._clock()
        return Turn(
            [events.Canceled(task.id, now_ms) for task in waiting],
            done=len(waiting),
            skipped=count - len(waiting),
            reserve=tuple(task.id for task in waiting),
            undo=functools.partial(self._requeue, waiting) if waiting else None,
        )


class ReplayAction:
    """Makes a new task of each that has ended."""

    def __init__(
        self,
        commits: CommitLog,
        catalogue: Catalogue,
        clock: Clock,
        *,
        creation: Creation,
        memory: LiveMemory,
        gate: UniqueGate,
        live_tasks_max: int,
        wait_for_capacity: Callable[[], Awaitable[None]],
    ) -> None:
        """``wait_for_capacity`` waits until more may be created, or raises ``StoreUnavailableError``."""
        self._commits = commits
        self._catalogue = catalogue
        self._clock = clock
        self._creation = creation
        self._memory = memory
        self._gate = gate
        self._live_tasks_max = live_tasks_max
        self._wait_for_capacity = wait_for_capacity

    async def turn(self, operation: Operation, seqs: Sequence[int]) -> Turn:
        """See :class:`Action`."""
        self._require_room()
        await self._wait_for_capacity()
        own_bytes = None if operation.data is None else len(operation.data)
        looked_at, tasks = await read(
            self._catalogue,
            functools.partial(
                matches.tasks_up_to_bytes, seqs=seqs, most_bytes=_REPLAYED_AT_ONCE_BYTES, own_bytes=own_bytes
            ),
        )
        now_ms = self._clock()
        replays = (replay_of(task, operation, now_ms) for task in tasks)
        drafts, slots = self._unique([draft for draft in replays if draft is not None])
        self._commits.require_room(self._live_tasks_max)
        self._memory.admit(drafts)
        added = [self._creation(drafts)] if drafts else []
        return Turn(added, done=len(drafts), skipped=looked_at - len(drafts), slots=slots)

    def _unique(self, drafts: Sequence[TaskDraft]) -> tuple[list[TaskDraft], list[Slot]]:
        """Those that no other task has the unique key of, or may have in a moment; and the keys that they take."""
        free, slots = [], dict[Slot, None]()
        for draft in drafts:
            slot = slot_of(draft)
            if slot is not None and (slot in slots or self._gate.is_taken(slot)):
                continue
            free.append(draft)
            if slot is not None:
                slots[slot] = None
        return free, list(slots)

    def _require_room(self) -> None:
        is_near_count = len(self._commits.state.tasks) > _SHARE_FOR_REPLAYS * self._live_tasks_max
        if is_near_count or self._memory.used_bytes > _SHARE_FOR_REPLAYS * self._memory.limit_bytes:
            message = (
                "So many tasks wait or run that the rest of the room is left to others; it goes on when some ended."
            )
            raise ContractError(TOO_MANY_REQUESTS, message)


class DeleteAction:
    """Deletes for good what has ended."""

    def __init__(
        self, commits: CommitLog, catalogue: Catalogue, forget: Callable[[Sequence[int]], Awaitable[None]]
    ) -> None:
        """``forget`` has nobody told any more of tasks with these numbers."""
        self._commits = commits
        self._catalogue = catalogue
        self._forget = forget

    async def turn(self, operation: Operation, seqs: Sequence[int]) -> Turn:
        """See :class:`Action`."""
        await self._catalogue.wait_for_capacity()
        ended = await read(self._catalogue, functools.partial(deletion.ended_of, seqs=seqs))
        await self._forget(ended)
        self._commits.require_writable()
        gone = [events.Deleted(tuple(ended))] if ended else []
        return Turn(gone, done=len(ended), skipped=len(seqs) - len(ended))


class EraseAction:
    """Cancels what still waits, and erases what has ended, with their retries: these have the same data.

    So do replays that others have made of them since the erasure was asked for.

    Erasing has frames of its own, and may be done again: what was erased before a crash is counted as skipped then.
    """

    def __init__(
        self,
        commits: CommitLog,
        catalogue: Catalogue,
        *,
        cancel: CancelAction,
        erase: Callable[[Collection[str]], Awaitable[int]],
    ) -> None:
        self._commits = commits
        self._catalogue = catalogue
        self._cancel = cancel
        self._erase = erase

    async def turn(self, operation: Operation, seqs: Sequence[int]) -> Turn:
        """See :class:`Action`."""
        await self._catalogue.wait_for_capacity()
        found = len(await read(self._catalogue, functools.partial(matches.ids_of, seqs=seqs)))
        ids: list[str] = []
        while (known := await self._with_copies(operation, seqs)) != ids:  # one may have failed, and be tried again
            ids = known
            await self._end(ids)
        await self._erase(ids)
        return Turn([], done=found, skipped=len(seqs) - found)

    async def _with_copies(self, operation: Operation, seqs: Sequence[int]) -> list[str]:
        work = functools.partial(matches.ids_with_copies, seqs=seqs, since_id=operation.id)
        return await read(self._catalogue, work)

    async def _end(self, ids: Sequence[str]) -> None:
        """Cancels those that wait; raises ``ContractError`` (``ILLEGAL_STATE``) if one runs."""
        canceling = await self._cancel.turn_of(ids, len(ids))
        if canceling.events:
            await self._commits.submit(canceling.events, canceling.reserve, undo=canceling.undo)
        if running := [task_id for task_id in ids if task_id in self._commits.state.tasks]:
            message = f"Task {running[0]} runs; it goes on when that has ended."
            raise ContractError(ILLEGAL_STATE, message)


async def read(catalogue: Catalogue, work: Callable[[sqlite3.Connection], T]) -> T:
    """What ``work`` gives; raises ``StoreUnavailableError`` where the catalogue cannot be read now."""
    try:
        return await catalogue.read(work)
    except sqlite3.Error as error:
        raise StoreUnavailableError(f"The catalogue cannot be read now ({error}).") from error
