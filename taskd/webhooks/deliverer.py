"""The service that delivers: makes deliveries of what has happened, attempts what is due, and says what came of it.

A slow receiver holds up nobody else: each webhook has a share of what may be under way, and one attempt in any case.
What is under way when the process dies is attempted again by the next, under the same id.
"""

import asyncio
import logging
from collections.abc import Callable

from msgspec.structs import replace

from taskd.model import limits
from taskd.model import webhook as rules
from taskd.model.clock import Clock
from taskd.model.delivery import Attempt, Delivery, DeliveryStatus
from taskd.model.errors import RESOURCE_UNKNOWN, ContractError
from taskd.model.shares import Shares
from taskd.model.webhook import TASK_EVENTS, TEST_EVENT, Webhook
from taskd.model.webhook_content import body_of, event_content, without_data
from taskd.rql.query import Compare, Query, SortKey
from taskd.store.base import Change, FannedOut, StoreUnavailableError, TaskStore
from taskd.system.background import AT_ONCE, LOOK_AGAIN_S, BackgroundLoop
from taskd.telemetry.webhooks import WebhookMeasures
from taskd.webhooks import signature
from taskd.webhooks.sender import Answer, Sender
from taskd.webhooks.settings import WebhookSettings

log = logging.getLogger(__name__)

_EVENTS_PER_STEP = 500
_GONE = 410
_NEWEST_FIRST = (SortKey(("creation_timestamp",), descending=True),)
_STOP_S = 5.0
"""How long attempts that are under way may still take when the service is stopped."""

Objection = Callable[[Webhook], str | None]
"""Why a webhook may not be told any more, for people; ``None`` if it may. Must not wait for anything."""


def no_objection(webhook: Webhook) -> None:
    """For those who let every webhook be told."""


class Deliverer:
    """Delivers what one store has to deliver. :meth:`start` and :meth:`stop` bracket its life."""

    def __init__(
        self,
        store: TaskStore,
        sender: Sender,
        settings: WebhookSettings,
        *,
        clock: Clock | None = None,
        on_fatal: Callable[[BaseException], None] | None = None,
        measures: WebhookMeasures | None = None,
        objection: Objection = no_objection,
    ) -> None:
        """``on_fatal`` is told of a fault that delivering cannot go on after; the daemon is to end then.

        A webhook that there is an ``objection`` to is disabled.
        """
        self._store = store
        self._sender = sender
        self._alone_max = settings.max_in_flight
        self._clock = clock or store.now_ms
        self._measures = measures or WebhookMeasures()
        self._objection = objection
        self._in_flight: Shares[str] = Shares()
        self._attempts: set[asyncio.Task[None]] = set()
        self._ended: list[Attempt] = []
        """Attempts that are not settled yet."""
        self._loop = BackgroundLoop("deliverer", self._step, self._clock, on_fatal)

    async def start(self) -> None:
        """Begins to deliver, with what an earlier process left."""
        self._sender.start()
        self._store.on_change(Change.DELIVERIES, self._loop.wake)
        self._loop.start()

    async def stop(self) -> None:
        """Attempts nothing more, and waits a little for what is under way. Idempotent."""
        await self._loop.stop()
        if self._attempts:
            await asyncio.wait(self._attempts, timeout=_STOP_S)
        for attempt in list(self._attempts):
            attempt.cancel()
        if self._attempts:
            await asyncio.wait(self._attempts)
        await self._sender.close()
        if self._ended:
            try:
                await self._settle()
            except StoreUnavailableError:
                log.warning("%d deliveries are attempted again: that they were could not be stored.", len(self._ended))

    async def _step(self) -> int | None:
        try:
            settled = await self._settle()
        except StoreUnavailableError as error:  # nothing more is attempted until it is known what was
            log.warning("What became of %d deliveries cannot be stored for now: %s", len(self._ended), error)
            await asyncio.sleep(LOOK_AGAIN_S)
            return AT_ONCE
        fanned = await self._fan_out()
        begun = 0
        for webhook_id in self._store.due_webhooks():
            begun += await self._begin(webhook_id)
        self._measures.in_flight(self._in_flight.total)
        if settled or fanned.events or begun:
            return AT_ONCE
        next_ms = self._store.next_delivery_ms()
        # what is due and was not begun has no room: the end of an attempt makes some, and wakes this
        return None if next_ms is None or next_ms <= self._clock() else next_ms

    async def _settle(self) -> int:
        if not self._ended:
            return 0
        count = len(self._ended)
        settled = await self._store.settle_deliveries(self._ended[:count])
        del self._ended[:count]
        self._measures.attempted(settled)
        for delivery in settled:
            if delivery is not None:
                await self._report(delivery)
        return count

    async def _report(self, delivery: Delivery) -> None:
        if delivery.status is DeliveryStatus.FAILED:
            log.warning(
                "Delivery %s of %s to webhook %s has failed after %d attempts: %s "
                "`taskd webhooks redeliver %s %s` has it tried again.",
                *(delivery.id, delivery.event_type, delivery.webhook_id, delivery.attempts, delivery.error),
                *(delivery.webhook_id, delivery.id),
            )
        if delivery.status_code == _GONE:
            await self._disable(delivery.webhook_id, "Its receiver has answered that it is gone (410).")

    async def _fan_out(self) -> FannedOut:
        try:
            fanned = await self._store.fan_out(_EVENTS_PER_STEP)
        except StoreUnavailableError as error:
            log.warning("No deliveries are made for now: %s", error)
            await asyncio.sleep(LOOK_AGAIN_S)
            return FannedOut(0, 0, [])
        self._measures.made(fanned.deliveries)
        for webhook in fanned.disabled:
            self._report_disabled(webhook)
        return fanned

    async def _begin(self, webhook_id: str) -> int:
        """Begins what of one webhook there is room for; gives how many attempts."""
        room = self._room(webhook_id)
        if room == 0:
            return 0
        try:
            webhook = await self._store.webhook(webhook_id)
        except ContractError:  # it was removed meanwhile
            return 0
        if (reason := self._objection(webhook)) is not None:
            await self._disable(webhook_id, reason)
            return 0
        begun = await self._store.begin_deliveries(webhook_id, room)
        for delivery in begun:
            self._in_flight.take(webhook_id)
            attempt = asyncio.create_task(self._attempt(webhook, delivery), name="delivery")
            self._attempts.add(attempt)
            attempt.add_done_callback(self._loop.watch)
        return len(begun)

    def _room(self, webhook_id: str) -> int:
        """How many more attempts to one webhook may be under way now."""
        shares = self._in_flight
        held, total = shares.held(webhook_id), shares.total
        # by how much it is below three times of what is left: see ``shares.py``; each one more counts four times
        free = (4 * self._alone_max - held - 3 * total + 3) // 4
        return max(free, 0 if held else 1)

    async def _attempt(self, webhook: Webhook, delivery: Delivery) -> None:
        try:
            answer = await self._answer(webhook, delivery)
            self._ended.append(Attempt(delivery.id, self._clock(), answer.status_code, answer.error))
        finally:
            self._in_flight.give_back(webhook.id)
            self._attempts.discard(asyncio.current_task())
            self._loop.wake()

    async def _answer(self, webhook: Webhook, delivery: Delivery) -> Answer:
        try:
            body = await self._body(webhook, delivery)
        except ContractError as error:
            return Answer(None, f"The data cannot be read now: {error}")
        now_ms = self._clock()
        in_force = [secret.text for secret in webhook.secrets if secret.is_in_force(now_ms)]
        headers = signature.headers(delivery.id, now_ms // 1000, body, in_force)
        return await self._sender.send(webhook.url, headers, body)

    async def _body(self, webhook: Webhook, delivery: Delivery) -> bytes:
        if not webhook.include_data or delivery.event_type == TEST_EVENT:
            return body_of(delivery)
        if delivery.event_type not in TASK_EVENTS:
            return await self._body_with_content(delivery)
        if not webhook.sees_tasks:
            return body_of(delivery)  # who answers for it now need not be one who may view them
        try:
            data = await self._store.read_data(delivery.subject_id, 0, limits.WEBHOOK_BODY_MAX_BYTES)
        except ContractError as error:
            if error.kind is RESOURCE_UNKNOWN:  # the task was deleted
                return without_data(delivery)
            raise
        is_whole = len(data) < limits.WEBHOOK_BODY_MAX_BYTES
        return body_of(delivery, data) if is_whole else without_data(delivery)

    async def _body_with_content(self, delivery: Delivery) -> bytes:
        """The body that tells of an event with its content, as long as the event is kept."""
        by_id = Compare("eq", ("id",), delivery.subject_id, 0)
        query = Query(by_id, sort=_NEWEST_FIRST, limit=limits.PAGE_LIMIT_MAX, skip_count=True)
        found = await self._store.find_events(query)
        for event in found.rows:  # the id is its sender's, and may come again
            if event.type == delivery.event_type and event_content(event) == delivery.content:
                return body_of(delivery, event.content or b"{}")
        return without_data(delivery)

    async def _disable(self, webhook_id: str, reason: str) -> None:
        now_ms = self._clock()
        try:
            webhook = await self._store.change_webhook(
                webhook_id, lambda kept: rules.disable(kept, now_ms, reason) if kept.enabled else kept
            )
        except StoreUnavailableError:  # the next answer is the same
            return
        except ContractError:  # it was removed meanwhile
            return
        if webhook == replace(webhook, update_ms=now_ms, disabled_reason=reason):
            self._report_disabled(webhook)

    def _report_disabled(self, webhook: Webhook) -> None:
        self._measures.disabled()
        log.warning(
            "Webhook %s is disabled: %s What waits for it is kept; `taskd webhooks enable %s` has it go on.",
            *(webhook.id, webhook.disabled_reason, webhook.id),
        )
