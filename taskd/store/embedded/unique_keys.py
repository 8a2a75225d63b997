"""Who has which unique key: part of the live state, a pure fold like the rest of it.

While a task lives, its key goes with it. A key that lasts for some time is remembered here when its task has ended.
"""

import heapq
from collections.abc import Collection, Iterable, Iterator
from sys import intern

from taskd.model.shares import Shares
from taskd.model.status import FINAL, Status
from taskd.model.task import Task
from taskd.model.task_extras import UniqueKey, WhileKind
from taskd.model.uniqueness import Slot, ends_ms, keeps_out, owner_of, unique_key
from taskd.store.embedded.events import KeptKey
from taskd.store.embedded.live_tasks import LiveTasks, unique_bytes


class UniqueKeys:
    """The keys of live tasks, and those that outlast them."""

    def __init__(self, tasks: LiveTasks) -> None:
        self._tasks = tasks
        self.holders: dict[Slot, tuple[str, ...]] = {}
        """Live tasks whose key may keep others out: one nearly always, the oldest first."""
        self.kept: dict[Slot, KeptKey] = {}
        """Keys of tasks that have ended."""
        self.shares: Shares[str] = Shares()
        """How many keys that last for some time each owner has, of live tasks and of ended ones."""
        self._kept_by_seq: dict[int, Slot] = {}
        """The same, by the numbers of their tasks."""
        self.live = 0
        """How many live tasks have a key, whether or not it keeps others out now."""
        self._ends: list[tuple[int, Slot]] = []
        """A heap of when the kept ones end; those that are not kept any more are passed over."""

    def holder(self, slot: Slot, now_ms: int) -> Task | KeptKey | None:
        """Who has the key now: a live task, or what is kept of one that has ended."""
        for task_id in reversed(self.holders.get(slot, ())):
            task = self._tasks[task_id]
            if (unique := unique_key(task)) is not None and keeps_out(task, unique, now_ms):
                return task
        kept = self.kept.get(slot)
        return kept if kept is not None and now_ms < kept.ends_ms else None

    def added(self, task: Task) -> None:
        """``task`` is new to the state, which has it already."""
        if (unique := unique_key(task)) is not None:
            self.live += 1
            self._tasks.beside_bytes += unique_bytes(unique)
            if not isinstance(unique.lasts, WhileKind):
                self.shares.take(intern(owner_of(task)))
            self._follow(task, unique)

    def changed(self, tasks: Iterable[Task]) -> None:
        """The tasks, which live on, are now as they are here."""
        for task in tasks:
            if (unique := unique_key(task)) is not None:
                self._follow(task, unique)

    def ended(self, task: Task) -> None:
        """The task has left the state."""
        if (unique := unique_key(task)) is None:
            return
        slot = (task.function_name, unique.key)
        self.live -= 1
        self._tasks.beside_bytes -= unique_bytes(unique)
        self._drop(slot, task.id)
        until_ms = ends_ms(task.creation_ms, unique)
        if until_ms is not None:
            self.forget(task.status_changed_ms)
            self._keep(slot, KeptKey(*slot, task.id, task.seq, until_ms, intern(owner_of(task))))

    def keep(self, keys: Iterable[KeptKey]) -> None:
        """Takes over what a snapshot says of ended tasks."""
        for key in keys:
            self.shares.take(intern(key.owner))
            self._keep((key.function_name, key.key), key)

    def forget(self, until_ms: int) -> None:
        """Lets go of kept keys that had ended by then."""
        while self._ends and self._ends[0][0] <= until_ms:
            ended_ms, slot = heapq.heappop(self._ends)
            kept = self.kept.get(slot)
            if kept is not None and kept.ends_ms == ended_ms:
                self._let_go(slot)

    def forget_tasks(self, seqs: Collection[int]) -> None:
        """The tasks of these numbers are gone for good, and so are the keys that are kept for them."""
        for slot in self.kept_of(seqs):
            self._let_go(slot)

    def kept_of(self, seqs: Collection[int]) -> list[Slot]:
        """Which keys are kept of the ended tasks with these numbers."""
        slots = map(self._kept_by_seq.get, seqs) if self.kept else ()
        return [slot for slot in slots if slot is not None]

    def take_kept(self) -> Iterator[KeptKey]:
        """Takes out one kept key after the other."""
        while self.kept:
            yield self._let_go(next(iter(self.kept)))

    def first_end_ms(self) -> int | None:
        """No kept key ends before this."""
        return self._ends[0][0] if self._ends else None

    def _keep(self, slot: Slot, key: KeptKey) -> None:
        """A later key takes the place of an earlier one, which nobody could ask for any more."""
        if slot in self.kept:
            self._let_go(slot)
        self.kept[slot] = key
        self._kept_by_seq[key.seq] = slot
        self._tasks.beside_bytes += unique_bytes(UniqueKey(key.key, 0))
        heapq.heappush(self._ends, (key.ends_ms, slot))

    def _let_go(self, slot: Slot) -> KeptKey:
        key = self.kept.pop(slot)
        del self._kept_by_seq[key.seq]
        self._tasks.beside_bytes -= unique_bytes(UniqueKey(key.key, 0))
        self.shares.give_back(key.owner)
        return key

    def _follow(self, task: Task, unique: UniqueKey) -> None:
        slot = (task.function_name, unique.key)
        if _may_keep_out(task, unique):
            self.holders[slot] = tuple(sorted({*self.holders.get(slot, ()), task.id}))
        else:
            self._drop(slot, task.id)

    def _drop(self, slot: Slot, task_id: str) -> None:
        rest = tuple(other for other in self.holders.get(slot, ()) if other != task_id)
        if rest:
            self.holders[slot] = rest
        else:
            self.holders.pop(slot, None)


def _may_keep_out(task: Task, unique: UniqueKey) -> bool:
    """Whether its key keeps others out now, or may do so for its time."""
    return task.status is Status.NEW if unique.lasts is WhileKind.PENDING else task.status not in FINAL
