"""Webhooks are told of events that somebody published, on every store."""

import json
from collections.abc import Awaitable, Callable

import pytest
from conformance.test_webhooks import DRAFT
from msgspec.structs import replace
from support.clocks import FakeClock

from taskd.model import limits
from taskd.model.event import EventDraft
from taskd.model.timestamps import format_ms
from taskd.rql.parser import parse
from taskd.store.base import Change, TaskStore

OpenStore = Callable[[], Awaitable[TaskStore]]
OF_ORDERS = replace(DRAFT, events=("order", "task.failed"))


async def test_an_event_and_its_deliveries_are_there_together(open_store: OpenStore, clock: FakeClock) -> None:
    store = await open_store()
    news: list[str] = []
    store.on_change(Change.DELIVERIES, lambda: news.append("told"))
    webhook, other = await store.add_webhook(OF_ORDERS), await store.add_webhook(DRAFT)
    event = await store.publish(EventDraft("order", b'{"secret":1}', "order-7", created_by_user_id="5" * 24))
    assert store.due_webhooks() == [webhook.id]
    store = await open_store()
    [delivery] = await store.begin_deliveries(webhook.id, 5)
    assert (delivery.event_type, delivery.subject_id, delivery.creation_ms) == ("order", "order-7", event.creation_ms)
    assert json.loads(delivery.content) == {
        "id": "order-7",
        "creationTimestamp": format_ms(clock()),
        "createdByUserId": "5" * 24,
    }
    assert await store.begin_deliveries(other.id, 5) == []
    assert news


async def test_an_event_that_is_sent_twice_is_told_once(store: TaskStore) -> None:
    webhook = await store.add_webhook(OF_ORDERS)
    for _ in range(2):
        await store.publish(EventDraft("order", None, "order-7"))
    assert (await store.find_deliveries(webhook.id, parse(""))).total == 1


@pytest.mark.parametrize("event_type", ["task.failed", "webhook.test", "other"])
async def test_nobody_publishes_what_taskd_alone_says(store: TaskStore, event_type: str) -> None:
    """Or receivers would take for the end of a task what is none."""
    await store.add_webhook(replace(DRAFT, events=("order", "task.failed", "webhook.test")))
    await store.publish(EventDraft(event_type, b'{"id":"1"}'))
    assert store.next_delivery_ms() is None


async def test_a_webhook_for_which_too_many_events_would_wait_is_disabled(
    store: TaskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "DELIVERIES_WAITING_MAX", 2)
    webhook = await store.add_webhook(OF_ORDERS)
    for _ in range(4):
        await store.publish(EventDraft("order"))
    assert (await store.webhook(webhook.id)).disabled_reason == "Too many deliveries waited for it."
    assert (await store.find_deliveries(webhook.id, parse(""))).total == 2
    assert (await store.find_events(parse(""))).total == 4
