"""The verbs of deliveries: made of what is owed, begun when they are due, settled, and found."""

import functools
from collections.abc import Callable, Sequence
from itertools import islice

from taskd.model import delivery as transitions
from taskd.model import limits
from taskd.model.clock import Clock
from taskd.model.delivery import Attempt, Delivery
from taskd.model.errors import ILLEGAL_STATE, RESOURCE_UNKNOWN, ContractError
from taskd.model.event import Event
from taskd.model.shares import has_room
from taskd.model.task import Task
from taskd.model.webhook import TASK_EVENT_PREFIX, Webhook, is_published
from taskd.model.webhook_content import event_content, task_content
from taskd.rql.query import Query
from taskd.store.base import FannedOut, Page
from taskd.store.embedded import events
from taskd.store.embedded.catalogue import deliveries as rows
from taskd.store.embedded.catalogue import matches
from taskd.store.embedded.catalogue.catalogue import Catalogue
from taskd.store.embedded.catalogue.listing import prepared
from taskd.store.embedded.commit import CommitLog
from taskd.store.embedded.stored_data import stored_data
from taskd.store.embedded.webhook_matching import looks_at_data, matching
from taskd.store.embedded.webhooks import Webhooks

_PAIRS_MAX = 2_000
"""Deliveries of one frame, but for those of one task more."""
_WHY_DISABLED = "Too many deliveries waited for it."


class Deliveries:
    """The deliveries of one store. What is being attempted is known to this process alone: the next tries it again."""

    def __init__(
        self,
        commits: CommitLog,
        catalogue: Catalogue,
        webhooks: Webhooks,
        clock: Clock,
        new_id: Callable[[], str],
    ) -> None:
        self._commits = commits
        self._catalogue = catalogue
        self._webhooks = webhooks
        self._clock = clock
        self._new_id = new_id
        self._state = commits.state.webhooks
        self._being_attempted: set[str] = set()

    async def fan_out(self, limit: int) -> FannedOut:
        """See ``Deliveries.fan_out``."""
        if not self._state.owed:
            return FannedOut(0, 0, [])
        return await self._webhooks.in_turn(functools.partial(self._fan_out, limit))

    def of_events(self, published: Sequence[Event]) -> list[events.Event]:
        """What has webhooks told of events that are published, for the frame that publishes them."""
        wanted = self._state.wanted_types
        told = [event for event in published if event.type in wanted and is_published(event.type)]
        if not told:
            return []
        batch = _Batch(self._state.shares.total)
        for event in told:
            self._add_of_event(batch, event)
        return [events.DeliveriesPut(tuple(batch.deliveries)), *self._disabling(batch)]

    def _add_of_event(self, batch: "_Batch", event: Event) -> None:
        content = event_content(event)
        for webhook in self._state.webhooks.values():
            if webhook.wants(event.type) and batch.takes(webhook, self._state.shares.held(webhook.id)):
                batch.add(self._new(webhook.id, event.type, event.id, content, event.creation_ms))

    def due_webhooks(self) -> list[str]:
        """See ``Deliveries.due_webhooks``."""
        now_ms = self._clock()
        due = ((each.id, self._state.due_ms(each.id)) for each in self._state.webhooks.values() if each.enabled)
        return [webhook_id for webhook_id, due_ms in due if due_ms is not None and due_ms <= now_ms]

    def begin(self, webhook_id: str, limit: int) -> list[Delivery]:
        """See ``Deliveries.begin_deliveries``."""
        webhook = self._state.webhooks.get(webhook_id)
        if webhook is None or not webhook.enabled:
            return []
        due = self._state.take_due(webhook_id, self._clock(), limit)
        begun = [delivery for delivery in due if delivery.id not in self._being_attempted]
        self._being_attempted.update(delivery.id for delivery in begun)
        return begun

    async def settle(self, attempts: Sequence[Attempt]) -> list[Delivery | None]:
        """See ``Deliveries.settle_deliveries``."""
        return await self._webhooks.in_turn(functools.partial(self._settle, attempts))

    async def deliver(self, webhook_id: str, event_type: str, subject_id: str, content: bytes) -> Delivery:
        """See ``Deliveries.deliver``."""
        return await self._webhooks.in_turn(
            functools.partial(self._deliver, webhook_id, event_type, subject_id, content)
        )

    async def redeliver(self, webhook_id: str, delivery_id: str) -> Delivery:
        """See ``Deliveries.redeliver``."""
        return await self._webhooks.in_turn(functools.partial(self._redeliver, webhook_id, delivery_id))

    async def find(self, webhook_id: str, query: Query) -> Page[Delivery]:
        """See ``Deliveries.find_deliveries``."""
        self._webhooks.get(webhook_id)
        listing = await prepared(functools.partial(rows.page, query, webhook_id), query)
        return await self._catalogue.read(listing, scans=listing.scans)

    async def forget(self, subject_ids: Sequence[str]) -> None:
        """See ``Deliveries.forget_deliveries``."""
        if not subject_ids or not self._state.webhooks:  # with a webhook goes all that is known of it
            return
        await self._webhooks.in_turn(functools.partial(self._forget, tuple(subject_ids)))

    async def forget_tasks(self, seqs: Sequence[int]) -> None:
        """As :meth:`forget`, for ended tasks by their numbers, which must be there yet."""
        if self._state.webhooks:
            await self.forget(await self._catalogue.read(functools.partial(matches.ids_of, seqs=seqs)))

    def next_ms(self) -> int | None:
        """See ``Deliveries.next_delivery_ms``."""
        if self._state.owed:
            return self._clock()
        due = (self._state.due_ms(each.id) for each in self._state.webhooks.values() if each.enabled)
        return min((due_ms for due_ms in due if due_ms is not None), default=None)

    async def _fan_out(self, limit: int) -> FannedOut:
        self._commits.require_writable()
        webhooks = list(self._state.webhooks.values())
        owed = list(islice(self._state.owed.values(), limit))
        whole = await self._with_data(owed, looks_at_data(webhooks))
        pairs = await matching(whole, webhooks)
        taken = len(owed)
        if sum(map(len, pairs.values())) > _PAIRS_MAX:
            taken = _count_until(owed, pairs, _PAIRS_MAX)
        return await self._make(owed[:taken], pairs)

    async def _make(self, owed: Sequence[Task], wanted_by: dict[str, list[Webhook]]) -> FannedOut:
        """Makes the deliveries of these tasks; a webhook for which no more may wait is disabled."""
        batch = _Batch(self._state.shares.total)
        for task in owed:
            content = task_content(task) if task.id in wanted_by else b""
            for webhook in wanted_by.get(task.id, ()):
                held = self._state.shares.held(webhook.id)
                if batch.takes(webhook, held):
                    event_type = TASK_EVENT_PREFIX + task.status.value
                    batch.add(self._new(webhook.id, event_type, task.id, content, task.status_changed_ms))
        made = events.DeliveriesPut(tuple(batch.deliveries), tuple(task.id for task in owed))
        await self._commits.submit([made, *self._disabling(batch)])
        disabled = [self._state.webhooks[webhook_id] for webhook_id in batch.overfull]
        return FannedOut(len(owed), len(batch.deliveries), disabled)

    def _disabling(self, batch: "_Batch") -> list[events.Event]:
        now_ms = self._clock()
        return [events.WebhookDisabled(webhook_id, now_ms, _WHY_DISABLED) for webhook_id in batch.overfull]

    def _new(self, webhook_id: str, event_type: str, subject_id: str, content: bytes, at_ms: int) -> Delivery:
        return Delivery(
            id=self._new_id(),
            webhook_id=webhook_id,
            event_type=event_type,
            subject_id=subject_id,
            creation_ms=at_ms,
            content=content,
            next_ms=self._clock(),
        )

    async def _with_data(self, tasks: Sequence[Task], is_data_wanted: bool) -> list[Task]:  # noqa: FBT001 - private
        """The tasks, with the data that is elsewhere if it matters; without those that are gone by now."""
        elsewhere = [task.id for task in tasks if stored_data(task) is not None or not task.data]
        if not is_data_wanted or not elsewhere:
            return list(tasks)
        found = await self._catalogue.read(functools.partial(rows.tasks_by_ids, task_ids=elsewhere))
        missing = set(elsewhere)
        return [found.get(task.id, task) for task in tasks if task.id not in missing or task.id in found]

    async def _settle(self, attempts: Sequence[Attempt]) -> list[Delivery | None]:
        self._commits.require_writable()
        before = {each.delivery_id: self._state.waiting.get(each.delivery_id) for each in attempts}
        known = tuple(each for each in attempts if before[each.delivery_id] is not None)
        if known:
            await self._commits.submit([events.DeliveriesAttempted(known)])
        self._being_attempted.difference_update(before)
        return [
            None if (delivery := before[each.delivery_id]) is None else transitions.after(delivery, each)
            for each in attempts
        ]

    async def _deliver(self, webhook_id: str, event_type: str, subject_id: str, content: bytes) -> Delivery:
        delivery = self._new(webhook_id, event_type, subject_id, content, self._clock())
        return await self._put(delivery)

    async def _redeliver(self, webhook_id: str, delivery_id: str) -> Delivery:
        self._webhooks.get(webhook_id)
        found = self._state.waiting.get(delivery_id)
        if found is None:
            found = await self._catalogue.read(functools.partial(rows.by_id, delivery_id=delivery_id))
        if found is None or found.webhook_id != webhook_id:
            message = f"There is no delivery with the id {delivery_id} to the webhook {webhook_id}."
            raise ContractError(RESOURCE_UNKNOWN, message)
        return await self._put(transitions.again(found, self._clock()))

    async def _put(self, delivery: Delivery) -> Delivery:
        self._webhooks.get(delivery.webhook_id)
        shares = self._state.shares
        if not has_room(shares.held(delivery.webhook_id), shares.total, limits.DELIVERIES_WAITING_MAX):
            raise ContractError(ILLEGAL_STATE, "Too many deliveries wait already; try again when some have ended.")
        self._commits.require_writable()
        await self._commits.submit([events.DeliveriesPut((delivery,))])
        return delivery

    async def _forget(self, subject_ids: tuple[str, ...]) -> None:
        if subject_ids and (self._state.webhooks or self._state.owed):  # else nothing was ever to be delivered
            await self._commits.submit([events.DeliveriesErased(subject_ids)])


class _Batch:
    """Deliveries that are made in one step, as many as may wait beside those that do."""

    def __init__(self, waiting: int) -> None:
        self._waiting = waiting
        self._made: dict[str, int] = {}
        self.deliveries: list[Delivery] = []
        self.overfull: dict[str, Webhook] = {}

    def takes(self, webhook: Webhook, held: int) -> bool:
        """Whether there may be one more for this webhook, for which ``held`` wait already."""
        if webhook.id in self.overfull:
            return False
        of_webhook, total = held + self._made.get(webhook.id, 0), self._waiting + len(self.deliveries)
        if has_room(of_webhook, total, limits.DELIVERIES_WAITING_MAX):
            return True
        self.overfull[webhook.id] = webhook
        return False

    def add(self, delivery: Delivery) -> None:
        """One more."""
        self._made[delivery.webhook_id] = self._made.get(delivery.webhook_id, 0) + 1
        self.deliveries.append(delivery)


def _count_until(owed: Sequence[Task], wanted_by: dict[str, list[Webhook]], most: int) -> int:
    """How many of the first tasks are wanted by no more than so many webhooks together; one at least."""
    total = 0
    for count, task in enumerate(owed):
        total += len(wanted_by.get(task.id, ()))
        if total > most:
            return max(1, count)
    return len(owed)
