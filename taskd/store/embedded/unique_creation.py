"""Creating tasks with unique keys, among others that have none: in one frame, or answered with those that are there."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from taskd.model import limits
from taskd.model.clock import Clock
from taskd.model.errors import RESOURCE_UNKNOWN, TOO_MANY_REQUESTS, ContractError
from taskd.model.idempotency import IdempotencyKey
from taskd.model.shares import has_room
from taskd.model.task import Task, TaskDraft
from taskd.model.task_extras import WhileKind
from taskd.model.uniqueness import owner_of, unique_key
from taskd.store.base import UniqueResult
from taskd.store.embedded.commit import CommitLog
from taskd.store.embedded.creation import Creation
from taskd.store.embedded.events import Event, KeptKey, UniqueKeysForgotten
from taskd.store.embedded.idempotency import KeyedCreation
from taskd.store.embedded.live_memory import LiveMemory
from taskd.store.embedded.unique_gate import UniqueGate
from taskd.store.embedded.unique_plan import Place, UniquePlan


class UniqueCreation:
    """Makes such tasks of one store."""

    def __init__(
        self,
        commits: CommitLog,
        clock: Clock,
        gate: UniqueGate,
        *,
        creation: Creation,
        memory: LiveMemory,
        keyed: KeyedCreation,
        get: Callable[[str], Awaitable[Task]],
    ) -> None:
        self._commits = commits
        self._clock = clock
        self._gate = gate
        self._creation = creation
        self._memory = memory
        self._keyed = keyed
        self._get = get

    async def add(self, drafts: Sequence[TaskDraft], key: IdempotencyKey | None) -> list[UniqueResult]:
        """See ``TaskQueue.add_unique``. Goes on to its end when its caller is cancelled."""
        return await asyncio.shield(asyncio.create_task(self._add(drafts, key), name="unique"))

    async def _add(self, drafts: Sequence[TaskDraft], key: IdempotencyKey | None) -> list[UniqueResult]:
        ended: dict[str, Task] = {}
        while True:
            await self._gate.free(drafts)
            if key is not None and (first := self._keyed.on_the_way(key)) is not None:
                await asyncio.wait([first])
                continue
            if key is not None and (used := self._keyed.used(key)) is not None:
                return await self._keyed.answered_before(used, key)
            plan = UniquePlan(drafts, self._gate.holder, self._gate.is_replaceable)
            missing = {kept.task_id: kept for kept in _kept_in(plan.places) if kept.task_id not in ended}
            if missing:  # and whoever waits has to look at everything again
                ended |= {task_id: await self._task_of(kept) for task_id, kept in missing.items()}
            elif not await self._forget(plan.drafts):
                return await self._make(plan, key, ended)

    async def _task_of(self, kept: KeptKey) -> Task:
        try:
            return await self._get(kept.task_id)
        except ContractError as error:
            if error.kind is not RESOURCE_UNKNOWN:
                raise
            message = f"The unique key {kept.key!r} was used for the task {kept.task_id}, which is no longer kept."
            raise ContractError(RESOURCE_UNKNOWN, message) from None

    async def _forget(self, drafts: Sequence[TaskDraft]) -> bool:
        """Makes room for keys that last for some time; whether that took a while.

        :raises ContractError: ``TOO_MANY_REQUESTS`` if there is none.
        """
        unique, now_ms = self._commits.state.unique, self._clock()
        crowded = self._crowded(drafts)
        if crowded is None:
            return False
        first_ms = unique.first_end_ms()
        if first_ms is None or first_ms > now_ms:
            held = f"{unique.shares.total} unique keys last for some time, {unique.shares.held(crowded)} of them by"
            raise ContractError(TOO_MANY_REQUESTS, f"{held} this caller, who may use no more; let them last shorter.")
        await self._commits.submit([UniqueKeysForgotten(now_ms)])
        return True

    def _crowded(self, drafts: Sequence[TaskDraft]) -> str | None:
        """An owner of ``drafts`` for whose keys there is no room."""
        shares = self._commits.state.unique.shares
        for owner, count in Counter(owner_of(draft) for draft in drafts if _lasts_for_a_time(draft)).items():
            if not has_room(shares.held(owner) + count - 1, shares.total + count - 1, limits.UNIQUE_KEYS_MAX):
                return owner
        return None

    async def _make(self, plan: UniquePlan, key: IdempotencyKey | None, ended: dict[str, Task]) -> list[UniqueResult]:
        changed = await self._commit(plan, key)
        made, known = changed[: len(plan.drafts)], ended | {task.id: task for task in changed[len(plan.drafts) :]}
        return [await self._result(place, made, known) for place in plan.places]

    async def _result(self, place: Place, made: Sequence[Task], known: dict[str, Task]) -> UniqueResult:
        if place.holder is None:
            return UniqueResult(made[place.made], conflict=place.conflict)
        task_id = place.holder.id if isinstance(place.holder, Task) else place.holder.task_id
        return UniqueResult(known.get(task_id) or await self._get(task_id), conflict=True)

    async def _commit(self, plan: UniquePlan, key: IdempotencyKey | None) -> list[Task]:
        """The tasks that were made, and those that took something over. Waits for nothing before it has the keys."""
        if key is not None:
            self._keyed.require_room(key.owner)
        admitted_bytes = self._memory.admit(plan.growth)
        added = self._creation(plan.drafts)
        batch: list[Event] = [added] if plan.drafts else []
        batch += plan.replaced
        if key is not None:
            first_seq = added.tasks[0].seq if added.tasks else 0
            batch.append(self._keyed.use(key, first_seq, len(plan.places), plan.conflicts(first_seq)))
        if not batch:
            return []
        done = self._gate.submit(batch, tuple(plan.taken_over))
        self._memory.hold(admitted_bytes, done)
        self._gate.hold(plan.decided, done)
        if key is not None:
            self._keyed.hold(key, done)
        return await done


def _kept_in(places: Sequence[Place]) -> list[KeptKey]:
    return [place.holder for place in places if isinstance(place.holder, KeptKey)]


def _lasts_for_a_time(draft: TaskDraft) -> bool:
    unique = unique_key(draft)
    return unique is not None and not isinstance(unique.lasts, WhileKind)
