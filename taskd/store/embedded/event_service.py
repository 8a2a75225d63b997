"""The verbs of events: published, once where they have an id, owed, found; and of subscriptions to them."""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import blake2b
from itertools import islice
from typing import Any

import msgspec

from taskd.model import event as rules
from taskd.model import limits
from taskd.model.clock import Clock
from taskd.model.errors import BODY_TOO_LARGE, ILLEGAL_ARGUMENT, ILLEGAL_STATE, ContractError
from taskd.model.event import Event, EventDraft, Subscription, SubscriptionDraft
from taskd.model.idempotency import IdempotencyKey
from taskd.model.system_events import task_failed
from taskd.model.task import Task
from taskd.rql.query import Query
from taskd.store.base import Page
from taskd.store.embedded import events
from taskd.store.embedded.catalogue import event_records, queries
from taskd.store.embedded.catalogue.catalogue import Catalogue
from taskd.store.embedded.catalogue.event_listings import SUBSCRIPTION_RECORDS
from taskd.store.embedded.catalogue.listing import prepared
from taskd.store.embedded.commit import CommitLog
from taskd.store.embedded.events import UsedKey
from taskd.store.embedded.idempotency import KeyedCreation
from taskd.store.embedded.publishing import Publishing, Step
from taskd.store.embedded.serial import SerialChanges

_DIGEST_BYTES = 16


class EventService:
    """The events of one store."""

    def __init__(
        self,
        commits: CommitLog,
        catalogue: Catalogue,
        clock: Clock,
        publishing: Publishing,
        keyed: KeyedCreation,
        *,
        new_id: Callable[[], str],
        wait_for_capacity: Callable[[], Awaitable[None]],
    ) -> None:
        """``wait_for_capacity`` waits until more may be created, or raises ``StoreUnavailableError``."""
        self._commits = commits
        self._catalogue = catalogue
        self._clock = clock
        self._publishing = publishing
        self._keyed = keyed
        self._new_id = new_id
        self._wait_for_capacity = wait_for_capacity
        self._changes = SerialChanges("events")

    async def publish(self, draft: EventDraft) -> Event:
        """See ``EventRecords.publish``."""
        await self._wait_for_capacity()
        if draft.id is None:
            step = self._publishing.step([draft])
            await asyncio.shield(self._submit(step))
            return _published(step)
        return await self._publish_once(draft)

    async def _publish_once(self, draft: EventDraft) -> Event:
        """As with idempotency keys: waits for another call with this id, and publishes only if that one did not."""
        key = _key(draft)
        while (first := self._keyed.on_the_way(key)) is not None:
            await asyncio.wait([first])
        if (used := self._keyed.used(key)) is not None:
            return _published_before(draft, used, key)
        self._keyed.require_room(key.owner)
        step = self._publishing.step([draft])
        step.frame.append(_used(step, key))
        done = self._submit(step)
        self._keyed.hold(key, done)
        await asyncio.shield(done)
        return _published(step)

    def _submit(self, step: Step) -> "asyncio.Future[Any]":
        if (withheld := step.publications[0].withheld) is not None and not step.publications[0].event.chain:
            raise ContractError(BODY_TOO_LARGE, f"Nothing was done: {withheld}.")
        done = self._commits.submit(step.frame)
        self._publishing.watch(step, done)
        return done

    async def publish_owed(self, limit: int) -> int:
        """See ``EventRecords.publish_owed``."""
        return await self._changes.run(functools.partial(self._publish_owed, limit))

    async def _publish_owed(self, limit: int) -> int:
        owed = list(islice(self._commits.state.events.owed, limit))
        if not owed:
            return 0
        await self._wait_for_capacity()
        tasks = await self._catalogue.read(functools.partial(queries.failed_tasks, ids=owed))
        while (step := self._owed_step(owed, tasks)) is None:
            owed = owed[: len(owed) // 2]
        done = self._commits.submit(step.frame)
        self._publishing.watch(step, done)
        await done
        return len(owed)

    def _owed_step(self, owed: Sequence[str], tasks: Mapping[str, Task]) -> Step | None:
        """``None`` if there is no room for so many, but there may be for fewer."""
        try:
            # one that is not there has been deleted meanwhile, and so is nobody's business any more
            return self._publishing.step([task_failed(tasks[each]) for each in owed if each in tasks], owed)
        except ContractError:
            if len(owed) == 1:
                raise
            return None

    async def find(self, query: Query, on_behalf_of: str | None) -> Page[Event]:
        """See ``EventRecords.find_events``."""
        listing = await prepared(functools.partial(event_records.page, query), query)
        return await self._catalogue.read(listing, scans=listing.scans, on_behalf_of=on_behalf_of)

    async def delete_before(self, before_ms: int, limit: int) -> int:
        """See ``EventRecords.delete_events_before``."""
        return await self._changes.run(functools.partial(self._delete_before, before_ms, limit))

    async def _delete_before(self, before_ms: int, limit: int) -> int:
        count = await self._catalogue.read(
            functools.partial(event_records.count_before, before_ms=before_ms, limit=limit)
        )
        if count:
            self._catalogue.forget_events(before_ms, count)
            await self._catalogue.caught_up()
        return count

    async def add_subscription(self, draft: SubscriptionDraft) -> Subscription:
        """See ``EventRecords.add_subscription``."""
        return await self._changes.run(functools.partial(self._add_subscription, draft))

    async def _add_subscription(self, draft: SubscriptionDraft) -> Subscription:
        await self._wait_for_capacity()
        if len(self._commits.state.events.subscriptions) >= limits.SUBSCRIPTIONS_MAX:
            raise ContractError(
                ILLEGAL_STATE, f"There are {limits.SUBSCRIPTIONS_MAX} subscriptions, which is the limit."
            )
        subscription = rules.subscribe(draft, self._new_id(), self._clock())
        await self._commits.submit([events.SubscriptionPut(subscription)])
        return subscription

    async def find_subscriptions(self, query: Query) -> Page[Subscription]:
        """See ``EventRecords.find_subscriptions``."""
        kept = list(self._commits.state.events.subscriptions.values())
        return await self._catalogue.read(
            await prepared(functools.partial(SUBSCRIPTION_RECORDS.page, query, kept), query)
        )


def _published(step: Step) -> Event:
    return step.publications[0].event


def _key(draft: EventDraft) -> IdempotencyKey:
    """The digests of the id, of whose it is, and of what kind of key it is; and of what it was sent with."""
    key = ("event", draft.created_by_user_id, draft.created_by_application_id, draft.id)
    sent = draft.type.encode() + b"\0" + (draft.content or b"")
    return IdempotencyKey(_digest(msgspec.json.encode(key)), _digest(sent), draft.owner)


def _digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=_DIGEST_BYTES).digest()


def _used(step: Step, key: IdempotencyKey) -> events.KeysUsed:
    """It leads to no tasks: who sends the event again has all that there is to answer, but for its time."""
    at_ms = _published(step).creation_ms
    used = UsedKey(key.digest, key.fingerprint, at_ms, 0, 0, key.owner)
    return events.KeysUsed((used,), at_ms - limits.IDEMPOTENCY_KEY_TTL_MS)


def _published_before(draft: EventDraft, used: UsedKey, key: IdempotencyKey) -> Event:
    if used.fingerprint != key.fingerprint:
        message = f"An event with the id {draft.id!r} was sent before, with another type or content; use a new id."
        raise ContractError(ILLEGAL_ARGUMENT, message)
    return rules.create(draft, "", used.at_ms)
