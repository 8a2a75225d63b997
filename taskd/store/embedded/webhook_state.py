"""Webhooks and what is to be delivered to them: their part of the live state, folded from events like all of it.

That somebody is to be told of the end of a task needs no event of its own. Whoever replays the end knows which webhooks
there were then, and so that it is *owed*; settling takes no more room and no more time for that, on a full disk either.
Deliveries are made of what is owed by an event that comes when there is room.
"""

import heapq
from collections.abc import Iterable, Iterator
from sys import intern

from msgspec.structs import force_setattr

from taskd.model import delivery as transitions
from taskd.model.delivery import Attempt, Delivery
from taskd.model.shares import Shares
from taskd.model.status import Status
from taskd.model.task import Task
from taskd.model.webhook import Webhook, disable, wanted_statuses
from taskd.store.embedded.live_tasks import TASK_BYTES
from taskd.store.embedded.stored_data import stored_data, without_large_data

_STALE_MAX = 64
"""Entries of a heap that mean nothing any more and are kept, besides as many as mean something."""


class Projected:
    """What has changed of deliveries and is not in the catalogue yet."""

    def __init__(self) -> None:
        self.deliveries: dict[str, Delivery] = {}
        self.without_webhook: list[str] = []
        """The ids of webhooks that are gone, with all that was delivered to them."""
        self.erased: list[str] = []
        """The ids of what nothing is to be known of any more."""

    def add(self, later: "Projected") -> None:
        """Takes in what has changed since."""
        self.deliveries |= later.deliveries
        self.without_webhook += later.without_webhook
        self.erased += later.erased

    def __bool__(self) -> bool:
        return bool(self.deliveries or self.without_webhook or self.erased)


class WebhookState:
    """Webhooks by their ids, the deliveries that wait, and ended tasks of which deliveries are still to be made."""

    def __init__(self) -> None:
        self.webhooks: dict[str, Webhook] = {}
        self.wanted: frozenset[Status] = frozenset()
        """What tasks end with that some webhook is told of: empty where there is none, so that asking costs nothing."""
        self.wanted_types: frozenset[str] = frozenset()
        """The types of all events that some webhook is told of."""
        self.owed: dict[str, Task] = {}
        """Those that ended so; large data of them is elsewhere."""
        self.owed_bytes = 0
        """The memory that these take."""
        self.waiting: dict[str, Delivery] = {}
        self.shares: Shares[str] = Shares()
        """How many deliveries wait for each webhook."""
        self.projected = Projected()
        self.has_news = False
        """Whether something is owed or due that was not before, since somebody last looked."""
        self._due: dict[str, list[tuple[int, str]]] = {}
        """Of each webhook a heap of when its deliveries are due, some entries of which may be out of date."""

    def owe(self, tasks: Iterable[Task]) -> None:
        """Tasks have ended while somebody wants to be told of some ends."""
        self.put_owed(task for task in tasks if task.status in self.wanted)

    def put_owed(self, tasks: Iterable[Task]) -> None:
        """Deliveries are still to be made of these ended tasks."""
        for task in tasks:
            self._forget_owed(task.id)
            self.owed[task.id] = kept = without_large_data(task)
            self.owed_bytes += _memory_of(kept)
            self.has_news = True

    def put_webhook(self, webhook: Webhook) -> None:
        """The webhook is there, in the place of an earlier state of it."""
        self.webhooks[webhook.id] = webhook
        self._look_for_wanted()

    def disable_webhook(self, webhook_id: str, at_ms: int, reason: str) -> None:
        """The webhook is disabled, unless it is gone."""
        if (webhook := self.webhooks.get(webhook_id)) is not None:
            self.put_webhook(disable(webhook, at_ms, reason))

    def remove_webhook(self, webhook_id: str) -> None:
        """The webhook is gone, and what waited for it."""
        del self.webhooks[webhook_id]
        self._look_for_wanted()
        for delivery_id in [each.id for each in self.waiting.values() if each.webhook_id == webhook_id]:
            self._forget(delivery_id)
        self._due.pop(webhook_id, None)
        self.projected.without_webhook.append(webhook_id)

    def put_deliveries(self, deliveries: Iterable[Delivery], settled_owed: Iterable[str]) -> None:
        """Deliveries are as they are here, and those of some tasks have been made now."""
        for task_id in settled_owed:
            self._forget_owed(task_id)
        for delivery in deliveries:
            force_setattr(delivery, "webhook_id", intern(delivery.webhook_id))
            force_setattr(delivery, "event_type", intern(delivery.event_type))
            self._put(delivery)

    def attempted(self, attempt: Attempt) -> None:
        """An attempt to deliver has ended; it means nothing if the delivery is gone."""
        if (delivery := self.waiting.get(attempt.delivery_id)) is not None:
            self._put(transitions.after(delivery, attempt))

    def erase(self, subject_ids: Iterable[str]) -> None:
        """Nothing is to be known any more of what these events were about."""
        erased = set(subject_ids)
        for task_id in erased:
            self._forget_owed(task_id)
        for delivery_id in [each.id for each in self.waiting.values() if each.subject_id in erased]:
            self._forget(delivery_id)
        self.projected.erased += erased

    def take_projected(self) -> Projected:
        """What has changed since this was called last."""
        projected, self.projected = self.projected, Projected()
        return projected

    def due_ms(self, webhook_id: str) -> int | None:
        """When the first delivery of a webhook is due; ``None`` if none waits."""
        heap = self._due.get(webhook_id, [])
        while heap and not self._is_current(*heap[0]):
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def take_due(self, webhook_id: str, now_ms: int, limit: int) -> Iterator[Delivery]:
        """Up to ``limit`` due deliveries of a webhook, the longest due first. Each comes once, unless it changes."""
        while limit > 0 and (due_ms := self.due_ms(webhook_id)) is not None and due_ms <= now_ms:
            yield self.waiting[heapq.heappop(self._due[webhook_id])[1]]
            limit -= 1

    def put_back(self, delivery: Delivery) -> None:
        """A delivery that was taken is due after all."""
        self._push(delivery)

    def _forget_owed(self, task_id: str) -> None:
        if (task := self.owed.pop(task_id, None)) is not None:
            self.owed_bytes -= _memory_of(task)

    def _look_for_wanted(self) -> None:
        self.wanted = wanted_statuses(self.webhooks.values())
        enabled = [webhook for webhook in self.webhooks.values() if webhook.enabled]
        self.wanted_types = frozenset(event for webhook in enabled for event in webhook.events)

    def _put(self, delivery: Delivery) -> None:
        if delivery.webhook_id not in self.webhooks:  # it was removed meanwhile
            return
        self.projected.deliveries[delivery.id] = delivery
        if not delivery.is_waiting:
            self._forget(delivery.id)
            return
        if delivery.id not in self.waiting:
            self.shares.take(delivery.webhook_id)
        self.waiting[delivery.id] = delivery
        self._push(delivery)

    def _push(self, delivery: Delivery) -> None:
        heap = self._due.setdefault(delivery.webhook_id, [])
        heapq.heappush(heap, (delivery.next_ms, delivery.id))
        self.has_news = True
        if len(heap) > 2 * self.shares.held(delivery.webhook_id) + _STALE_MAX:
            current = list({entry for entry in heap if self._is_current(*entry)})
            heapq.heapify(current)
            self._due[delivery.webhook_id] = current

    def _is_current(self, due_ms: int, delivery_id: str) -> bool:
        delivery = self.waiting.get(delivery_id)
        return delivery is not None and delivery.next_ms == due_ms

    def _forget(self, delivery_id: str) -> None:
        delivery = self.waiting.pop(delivery_id, None)
        if delivery is not None:
            self.shares.give_back(delivery.webhook_id)


def _memory_of(task: Task) -> int:
    return TASK_BYTES + (len(task.data) if stored_data(task) is None else 0)
