"""Webhooks and deliveries of the store in memory: told plainly, over all records, each time anew."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TypeVar

import msgspec
from msgspec import Struct
from support.store.naive_filter import naive_matches

from taskd.model import delivery as transitions
from taskd.model import errors, limits
from taskd.model import webhook as rules
from taskd.model.delivery import Attempt, Delivery
from taskd.model.errors import ContractError
from taskd.model.event import Event
from taskd.model.shares import has_room
from taskd.model.task import Task
from taskd.model.webhook import Webhook, WebhookDraft
from taskd.model.webhook_content import event_content, task_content
from taskd.model.webhook_wire import delivery_view, webhook_view
from taskd.model.wire import task_view
from taskd.rql.parser import parse
from taskd.rql.query import Query
from taskd.store.base import FannedOut, Page, WebhookChange

T = TypeVar("T")


class WebhookRecords:
    """What the nodes share of them."""

    def __init__(self) -> None:
        self.webhooks: dict[str, Webhook] = {}
        self.deliveries: dict[str, Delivery] = {}
        self.owed: dict[str, Task] = {}
        self.attempted_by: dict[str, str] = {}
        """The node that attempts a delivery, by its id."""

    def ended(self, task: Task) -> None:
        """A task has come to its end."""
        if task.status in rules.wanted_statuses(self.webhooks.values()):
            self.owed[task.id] = task

    def wanting(self, event_type: str) -> list[Webhook]:
        return [webhook for webhook in self.webhooks.values() if webhook.wants(event_type)]

    def waiting(self, webhook_id: str) -> list[Delivery]:
        return [each for each in self.deliveries.values() if each.webhook_id == webhook_id and each.is_waiting]


class MemoryWebhooks:
    """The verbs; a node of the store in memory gives the rest."""

    kept: WebhookRecords
    new_id: Callable[[], str]

    def now_ms(self) -> int:
        raise NotImplementedError

    async def turn(self) -> str:
        """Lets others go first; gives the id of this node."""
        raise NotImplementedError

    def lives(self, node_id: str) -> bool:
        raise NotImplementedError

    def page(self, records: Iterable[T], view: Callable[[T], Struct], query: Query) -> Page[T]:
        raise NotImplementedError

    def deliveries_changed(self) -> None:
        raise NotImplementedError

    async def add_webhook(self, draft: WebhookDraft) -> Webhook:
        await self.turn()
        rules.require_room(list(self.kept.webhooks.values()))
        webhook = rules.create(draft, self.new_id(), self.now_ms())
        self.kept.webhooks[webhook.id] = webhook
        return webhook

    async def remove_webhook(self, webhook_id: str) -> None:
        await self.webhook(webhook_id)
        del self.kept.webhooks[webhook_id]
        self._keep(lambda each: each.webhook_id != webhook_id)

    async def webhook(self, webhook_id: str) -> Webhook:
        await self.turn()
        return self._webhook(webhook_id)

    async def change_webhook(self, webhook_id: str, change: WebhookChange) -> Webhook:
        await self.turn()
        changed = self.kept.webhooks[webhook_id] = change(self._webhook(webhook_id))
        self.deliveries_changed()
        return changed

    async def find_webhooks(self, query: Query) -> Page[Webhook]:
        await self.turn()
        return self.page(self.kept.webhooks.values(), webhook_view, query)

    async def fan_out(self, limit: int) -> FannedOut:
        await self.turn()
        tasks, made, disabled = list(self.kept.owed.values())[:limit], 0, []
        for task in tasks:
            del self.kept.owed[task.id]
            for webhook in list(self.kept.webhooks.values()):
                if not _wants(webhook, task):
                    continue
                event_type = f"task.{task.status.value}"
                if self._make(webhook, event_type, task.id, task_content(task), task.status_changed_ms):
                    made += 1
                else:
                    disabled.append(self.kept.webhooks[webhook.id])
        return FannedOut(len(tasks), made, disabled)

    def tell_of(self, event: Event) -> None:
        """An event is published."""
        for webhook in self.kept.wanting(event.type) if rules.is_published(event.type) else ():
            self._make(webhook, event.type, event.id, event_content(event), event.creation_ms)

    def _make(self, webhook: Webhook, event_type: str, subject_id: str, content: bytes, at_ms: int) -> bool:
        """Makes a delivery if there is room for it, and otherwise disables the webhook."""
        if has_room := self._has_room(webhook.id):
            self._add(webhook.id, event_type, subject_id, content, at_ms)
        else:
            changed = rules.disable(webhook, self.now_ms(), "Too many deliveries waited for it.")
            self.kept.webhooks[webhook.id] = changed
        return has_room

    def due_webhooks(self) -> list[str]:
        enabled = [webhook for webhook in self.kept.webhooks.values() if webhook.enabled]
        return [webhook.id for webhook in enabled if self._due_deliveries(webhook.id)]

    async def begin_deliveries(self, webhook_id: str, limit: int) -> list[Delivery]:
        node_id = await self.turn()
        webhook = self.kept.webhooks.get(webhook_id)
        begun = self._due_deliveries(webhook_id)[:limit] if webhook is not None and webhook.enabled else []
        self.kept.attempted_by |= {delivery.id: node_id for delivery in begun}
        return begun

    async def settle_deliveries(self, attempts: Sequence[Attempt]) -> list[Delivery | None]:
        await self.turn()
        return [self._settle_attempt(attempt) for attempt in attempts]

    async def deliver(self, webhook_id: str, event_type: str, subject_id: str, content: bytes) -> Delivery:
        await self.turn()
        self._require_room(webhook_id)
        return self._add(webhook_id, event_type, subject_id, content, self.now_ms())

    async def redeliver(self, webhook_id: str, delivery_id: str) -> Delivery:
        await self.turn()
        found = self.kept.deliveries.get(delivery_id)
        self._webhook(webhook_id)
        if found is None or found.webhook_id != webhook_id:
            raise ContractError(errors.RESOURCE_UNKNOWN, f"There is no delivery with the id {delivery_id}.")
        self._require_room(webhook_id)
        self.kept.deliveries[delivery_id] = transitions.again(found, self.now_ms())
        self.deliveries_changed()
        return self.kept.deliveries[delivery_id]

    async def find_deliveries(self, webhook_id: str, query: Query) -> Page[Delivery]:
        await self.turn()
        self._webhook(webhook_id)
        of_webhook = [each for each in self.kept.deliveries.values() if each.webhook_id == webhook_id]
        return self.page(of_webhook, delivery_view, query)

    async def forget_deliveries(self, subject_ids: Sequence[str]) -> None:
        await self.turn()
        self.forget_subjects(subject_ids)

    def forget_subjects(self, subject_ids: Collection[str]) -> None:
        self._keep(lambda each: each.subject_id not in subject_ids)
        self.kept.owed = {task_id: task for task_id, task in self.kept.owed.items() if task_id not in subject_ids}

    def next_delivery_ms(self) -> int | None:
        if self.kept.owed:
            return self.now_ms()
        enabled = [webhook.id for webhook in self.kept.webhooks.values() if webhook.enabled]
        return min((each.next_ms for webhook_id in enabled for each in self._free(webhook_id)), default=None)

    def _webhook(self, webhook_id: str) -> Webhook:
        if (webhook := self.kept.webhooks.get(webhook_id)) is None:
            raise ContractError(errors.RESOURCE_UNKNOWN, f"There is no webhook with the id {webhook_id}.")
        return webhook

    def _keep(self, is_kept: Callable[[Delivery], bool]) -> None:
        self.kept.deliveries = {key: each for key, each in self.kept.deliveries.items() if is_kept(each)}

    def _has_room(self, webhook_id: str) -> bool:
        total = sum(each.is_waiting for each in self.kept.deliveries.values())
        return has_room(len(self.kept.waiting(webhook_id)), total, limits.DELIVERIES_WAITING_MAX)

    def _require_room(self, webhook_id: str) -> None:
        self._webhook(webhook_id)
        if not self._has_room(webhook_id):
            raise ContractError(errors.ILLEGAL_STATE, "Too many deliveries wait already.")

    def _add(self, webhook_id: str, event_type: str, subject_id: str, content: bytes, at_ms: int) -> Delivery:
        about = (webhook_id, event_type, subject_id, at_ms, content)
        delivery = Delivery(self.new_id(), *about, self.now_ms())
        self.kept.deliveries[delivery.id] = delivery
        self.deliveries_changed()
        return delivery

    def _free(self, webhook_id: str) -> list[Delivery]:
        """Those that no living node attempts."""
        waiting = sorted(self.kept.waiting(webhook_id), key=lambda each: (each.next_ms, each.id))
        return [each for each in waiting if not self.lives(self.kept.attempted_by.get(each.id, ""))]

    def _due_deliveries(self, webhook_id: str) -> list[Delivery]:
        return [each for each in self._free(webhook_id) if each.next_ms <= self.now_ms()]

    def _settle_attempt(self, attempt: Attempt) -> Delivery | None:
        self.kept.attempted_by.pop(attempt.delivery_id, None)
        delivery = self.kept.deliveries.get(attempt.delivery_id)
        if delivery is None or not delivery.is_waiting:
            return None
        self.kept.deliveries[delivery.id] = transitions.after(delivery, attempt)
        return self.kept.deliveries[delivery.id]


def _wants(webhook: Webhook, task: Task) -> bool:
    if not webhook.wants(f"task.{task.status.value}"):
        return False
    where = None if webhook.rql is None else parse(webhook.rql).where
    return where is None or naive_matches(msgspec.json.decode(msgspec.json.encode(task_view(task))), where)
