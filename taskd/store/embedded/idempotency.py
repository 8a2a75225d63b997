"""Creating tasks under an idempotency key: once, however often and however close together it is asked for."""

import asyncio
import functools
from collections.abc import Sequence

from taskd.model import limits
from taskd.model.clock import Clock
from taskd.model.errors import ILLEGAL_ARGUMENT, RESOURCE_UNKNOWN, TOO_MANY_REQUESTS, ContractError
from taskd.model.idempotency import IdempotencyKey
from taskd.model.task import Task, TaskDraft
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
        while (first := self._on_the_way.get(key.digest)) is not None:
            await asyncio.wait([first])
        used = self._commits.state.used_keys.get(key.digest)
        if used is not None and used.at_ms >= self._kept_from_ms():
            return await self._created_before(used, key)
        return await self._create(drafts, key)

    async def _create(self, drafts: Sequence[TaskDraft], key: IdempotencyKey) -> list[Task]:
        self._require_room(key.owner)
        admitted_bytes = self._memory.admit(drafts)
        added = self._creation(drafts)
        used = UsedKey(key.digest, key.fingerprint, self._clock(), added.tasks[0].seq, len(drafts), key.owner)
        done = self._commits.submit([added, KeysUsed((used,), self._kept_from_ms())])
        self._memory.hold(admitted_bytes, done)
        self._on_the_way[key.digest] = done
        done.add_done_callback(functools.partial(self._arrived, key.digest))
        return await asyncio.shield(done)  # a caller that gives up does not call off what the journal is writing

    def _arrived(self, digest: bytes, _: "asyncio.Future[list[Task]]") -> None:
        del self._on_the_way[digest]

    async def _created_before(self, used: UsedKey, key: IdempotencyKey) -> list[Task]:
        if used.fingerprint != key.fingerprint:
            message = "The Idempotency-Key was used for another request before; use a new key for each request."
            raise ContractError(ILLEGAL_ARGUMENT, message)
        numbered = functools.partial(queries.tasks_numbered, first_seq=used.first_seq, count=used.count)
        tasks = await self._catalogue.read(numbered)
        if len(tasks) < used.count:
            message = "The Idempotency-Key was used before, and what it created then is no longer kept."
            raise ContractError(RESOURCE_UNKNOWN, message)
        return tasks

    def _require_room(self, owner: str) -> None:
        used_keys, shares = self._commits.state.used_keys, self._commits.state.key_shares
        if shares.has_room(owner, limits.IDEMPOTENCY_KEYS_MAX):
            return
        if next(iter(used_keys.values())).at_ms >= self._kept_from_ms():
            hours = limits.IDEMPOTENCY_KEY_TTL_MS // 3_600_000
            held = f"Within {hours} hours {shares.total} keys were used, {shares.held(owner)} of them by this caller"
            raise ContractError(TOO_MANY_REQUESTS, f"{held}, who may use no more; send fewer requests with a key.")

    def _kept_from_ms(self) -> int:
        return self._clock() - limits.IDEMPOTENCY_KEY_TTL_MS
