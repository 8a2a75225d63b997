"""What becomes of tasks with unique keys that are asked for together: decided at one moment, and nothing done yet."""

from collections.abc import Callable, Sequence
from typing import TypeGuard

from msgspec import Struct
from msgspec.structs import replace

from taskd.model.task import Task, TaskDraft, replacement
from taskd.model.task_extras import OnConflict
from taskd.model.uniqueness import Slot, UniqueConflictError, slot_of
from taskd.store.embedded.events import KeptKey, Replaced


class Place(Struct, frozen=True):
    """What is answered for one of the tasks that are asked for."""

    made: int = 0
    """Which of those that are made, counted from 0; unless there is a ``holder``."""
    holder: Task | KeptKey | None = None
    """The task that is there already."""
    conflict: bool = False
    """Whether it was not made for this one."""


class UniquePlan:
    """Which of ``drafts`` are made, and what is answered for each."""

    def __init__(
        self,
        drafts: Sequence[TaskDraft],
        holder: Callable[[Slot], Task | KeptKey | None],
        is_replaceable: Callable[[Task | KeptKey], TypeGuard[Task]],
    ) -> None:
        """``holder`` says who has a key now, and ``is_replaceable`` whether it can take something over.

        :raises UniqueConflictError: one is to be refused.
        """
        self.drafts: list[TaskDraft] = []
        """Those that are made, in order."""
        self.places: list[Place] = []
        """For each that is asked for."""
        self.slots: dict[Slot, int] = {}
        """The keys that are taken, and by which of :attr:`drafts`."""
        self.taken_over: dict[str, tuple[Task, TaskDraft]] = {}
        """Waiting tasks that take something over, by their ids, and what; of several for the same one the last."""
        self._holder = holder
        self._is_replaceable = is_replaceable
        for draft in drafts:
            self.places.append(self._place(draft))

    @property
    def replaced(self) -> list[Replaced]:
        """What is taken over by waiting tasks."""
        return [Replaced(task.id, task.seq, replacement(draft)) for task, draft in self.taken_over.values()]

    @property
    def decided(self) -> set[Slot]:
        """The keys that nobody else may decide about until this has happened."""
        slots = (slot_of(task) for task, _ in self.taken_over.values())
        return {*self.slots, *(slot for slot in slots if slot is not None)}

    @property
    def growth(self) -> list[TaskDraft]:
        """What more is to be kept in memory, at the most."""
        return [*self.drafts, *(draft for _, draft in self.taken_over.values())]

    def conflicts(self, first_seq: int) -> tuple[tuple[int, int], ...]:
        """The places that are answered with a task there is, or one before, and its number.

        Those that are made are numbered from ``first_seq`` on.
        """
        return tuple(
            (number, first_seq + place.made if place.holder is None else place.holder.seq)
            for number, place in enumerate(self.places)
            if place.conflict
        )

    def _place(self, draft: TaskDraft) -> Place:
        slot = slot_of(draft)
        if slot is None:
            return self._make(draft)
        if (made := self.slots.get(slot)) is not None:
            return self._beside_another(draft, slot, made)
        holder = self._holder(slot)
        if holder is None:
            self.slots[slot] = len(self.drafts)
            return self._make(draft)
        if draft.on_conflict is OnConflict.REJECT:
            task_id = holder.id if isinstance(holder, Task) else holder.task_id
            raise UniqueConflictError(slot, len(self.places), task_id)
        if draft.on_conflict is OnConflict.REPLACE and self._is_replaceable(holder):
            self.taken_over[holder.id] = (holder, draft)
        return Place(holder=holder, conflict=True)

    def _make(self, draft: TaskDraft) -> Place:
        self.drafts.append(draft)
        return Place(len(self.drafts) - 1)

    def _beside_another(self, draft: TaskDraft, slot: Slot, made: int) -> Place:
        """One earlier in the same request has the key."""
        if draft.on_conflict is OnConflict.REJECT:
            raise UniqueConflictError(slot, len(self.places))
        if draft.on_conflict is OnConflict.REPLACE:
            kept = self.drafts[made]
            self.drafts[made] = replace(draft, tags=kept.tags, extras=kept.extras)
        return Place(made, conflict=True)
