"""Creating tasks under an idempotency key: once, however often and however close together it is asked for."""

import asyncio
import functools
from collections.abc import Sequence

from taskd.model import limits
from taskd.model.clock import Clock
from taskd.model.errors import ILLEGAL_ARGUMENT, RESOURCE_UNKNOWN, TOO_MANY_REQUESTS, ContractError
from taskd.model.idempotency import IdempotencyKey
from taskd.model.task import Task, TaskDraft
from taskd.store.base import UniqueResult
from taskd.store.embedded.catalogue import queries
from taskd.store.embedded.catalogue.catalogue import Catalogue
from taskd.store.embedded.commit import CommitLog
from taskd.store.embedded.creation import Creation
from taskd.store.embedded.events import KeysUsed, UsedKey
from taskd.store.embedded.live_memory import LiveMemory


class KeyedCreation:
    """Remembers the keys in the same frame as the tasks, so that no crash can part them."""

    def __init__(
        self, commits: CommitLog, catalogue: Catalogue, clock: Clock, creation: Creation, memory: LiveMemory
    ) -> None:
        self._commits = commits
        self._catalogue = catalogue
        self._clock = clock
        self._creation = creation
        self._memory = memory
        self._on_the_way: dict[bytes, asyncio.Future[list[Task]]] = {}

    async def add(self, drafts: Sequence[TaskDraft], key: IdempotencyKey) -> list[Task]:
        """See ``TaskStore``. Waits for another call with this key, and creates only if that one did not."""
        while (first := self.on_the_way(key)) is not None:
            await asyncio.wait([first])
        if (used := self.used(key)) is not None:
            return [result.task for result in await self.answered_before(used, key)]
        return await self._create(drafts, key)

    def on_the_way(self, key: IdempotencyKey) -> "asyncio.Future[list[Task]] | None":
        """What another request with this key waits for, if there is one."""
        return self._on_the_way.get(key.digest)

    def hold(self, key: IdempotencyKey, done: "asyncio.Future[list[Task]]") -> None:
        """Another request with this key is to wait until then."""
        self._on_the_way[key.digest] = done
        done.add_done_callback(functools.partial(self._arrived, key.digest))

    def used(self, key: IdempotencyKey) -> UsedKey | None:
        """Its use before, if that is remembered."""
        used = self._commits.state.used_keys.get(key.digest)
        return used if used is not None and used.at_ms >= self._kept_from_ms() else None

    def use(
        self, key: IdempotencyKey, first_seq: int, count: int, conflicts: tuple[tuple[int, int], ...] = ()
    ) -> KeysUsed:
        """The event that the key is used now, for so many tasks in all; see ``UsedKey``."""
        used = UsedKey(key.digest, key.fingerprint, self._clock(), first_seq, count, key.owner, conflicts)
        return KeysUsed((used,), self._kept_from_ms())

    async def _create(self, drafts: Sequence[TaskDraft], key: IdempotencyKey) -> list[Task]:
        self.require_room(key.owner)
        admitted_bytes = self._memory.admit(drafts)
        added = self._creation(drafts)
        done = self._commits.submit([added, self.use(key, added.tasks[0].seq, len(drafts))])
        self._memory.hold(admitted_bytes, done)
        self.hold(key, done)
        return await asyncio.shield(done)  # a caller that gives up does not call off what the journal is writing

    def _arrived(self, digest: bytes, _: "asyncio.Future[list[Task]]") -> None:
        del self._on_the_way[digest]

    async def answered_before(self, used: UsedKey, key: IdempotencyKey) -> list[UniqueResult]:
        """What was answered at that use, as it is now. Raises ``ContractError`` as ``TaskQueue.add`` does."""
        if used.fingerprint and used.fingerprint != key.fingerprint:  # without one, what it made was erased
            message = "The Idempotency-Key was used for another request before; use a new key for each request."
            raise ContractError(ILLEGAL_ARGUMENT, message)
        made = used.count - len(used.conflicts)
        tasks = await self._numbered(used.first_seq, made)
        before: dict[int, Task] = {}
        for _, seq in used.conflicts:
            before |= {task.seq: task for task in ([] if seq in before else await self._numbered(seq, 1))}
        if len(tasks) < made or any(seq not in before for _, seq in used.conflicts):
            message = "The Idempotency-Key was used before, and what it created then is no longer kept."
            raise ContractError(RESOURCE_UNKNOWN, message)
        return _in_order(tasks, {place: before[seq] for place, seq in used.conflicts})

    async def _numbered(self, first_seq: int, count: int) -> list[Task]:
        return await self._catalogue.read(functools.partial(queries.tasks_numbered, first_seq=first_seq, count=count))

    def require_room(self, owner: str) -> None:
        """Raises ``ContractError`` (``TOO_MANY_REQUESTS``) if no more keys of ``owner`` can be remembered."""
        used_keys, shares = self._commits.state.used_keys, self._commits.state.key_shares
        if shares.has_room(owner, limits.IDEMPOTENCY_KEYS_MAX):
            return
        if next(iter(used_keys.values())).at_ms >= self._kept_from_ms():
            hours = limits.IDEMPOTENCY_KEY_TTL_MS // 3_600_000
            held = f"Within {hours} hours {shares.total} keys were used, {shares.held(owner)} of them by this caller"
            raise ContractError(TOO_MANY_REQUESTS, f"{held}, who may use no more; send fewer requests with a key.")

    def _kept_from_ms(self) -> int:
        return self._clock() - limits.IDEMPOTENCY_KEY_TTL_MS


def _in_order(made: Sequence[Task], before: dict[int, Task]) -> list[UniqueResult]:
    """Those that were made, with those that were there ``before`` put at their places."""
    rest = iter(made)
    places = range(len(made) + len(before))
    return [
        UniqueResult(before[place], conflict=True) if place in before else UniqueResult(next(rest)) for place in places
    ]
