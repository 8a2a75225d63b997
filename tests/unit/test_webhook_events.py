"""Events that are no ends of tasks: what has webhooks told of them comes in the frame in which they happen."""

from pathlib import Path

import pytest
from support.clocks import FakeClock

from taskd.model import limits
from taskd.model.errors import TOO_MANY_REQUESTS, ContractError
from taskd.model.event import Event
from taskd.model.task import TaskDraft
from taskd.model.webhook import WebhookDraft, WebhookSecret
from taskd.store.base import Completed, MemoryUse
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore


async def test_an_event_is_delivered_to_who_wants_it_and_to_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "DELIVERIES_WAITING_MAX", 2)
    clock = FakeClock()
    store = EmbeddedStore(StoreSettings(data=str(tmp_path)), clock)
    await store.start()
    draft = WebhookDraft("https://example.com", ("mine",), (WebhookSecret("whsec_"),))
    webhook = await store.add_webhook(draft)
    assert store._deliveries.of_events([Event("1", "other", None, 5)]) == []
    for number in range(2):
        await store._commits.submit(store._deliveries.of_events([Event(f"{number}", "mine", None, 5)]))
    begun = await store.begin_deliveries(webhook.id, 5)
    assert [(each.event_type, each.subject_id, each.creation_ms) for each in begun] == [
        ("mine", "0", 5),
        ("mine", "1", 5),
    ]
    await store._commits.submit(store._deliveries.of_events([Event("2", "mine", None, 5)]))
    assert (await store.webhook(webhook.id)).disabled_reason == "Too many deliveries waited for it."
    assert store._deliveries.of_events([Event("3", "mine", None, 5)]) == []
    await store.stop()


async def run_without_end(store: EmbeddedStore, draft: TaskDraft) -> None:
    while True:
        await store.add([draft] * 1000)
        await store.settle([Completed(task.id) for task in await store.claim(1000)])


async def test_what_ended_and_is_still_to_be_told_takes_room_from_what_may_be_created(tmp_path: Path) -> None:
    store = EmbeddedStore(StoreSettings(data=str(tmp_path), live_memory_mib=16), FakeClock())
    await store.start()
    await store.add_webhook(WebhookDraft("https://example.com", ("task.complete",), (WebhookSecret("whsec_"),)))
    draft = TaskDraft("f", b'{"a":"%b"}' % (b"x" * 1000), store.now_ms())
    with pytest.raises(ContractError) as caught:
        await run_without_end(store, draft)
    assert caught.value.kind is TOO_MANY_REQUESTS
    while (await store.fan_out(1000)).events:
        pass
    assert (await store.status()).memory == MemoryUse(0, 16 * limits.MIB)
    await store.add([draft] * 1000)
    await store.stop()
