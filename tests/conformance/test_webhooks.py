"""Webhooks and their deliveries, on every store."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from msgspec.structs import replace
from support.clocks import FakeClock

from taskd.model import limits
from taskd.model import webhook as rules
from taskd.model.delivery import Attempt, Delivery, DeliveryStatus
from taskd.model.errors import ILLEGAL_STATE, RESOURCE_UNKNOWN, ContractError
from taskd.model.task import ErrorType, Task, TaskDraft, TaskError
from taskd.model.webhook import Webhook, WebhookDraft, WebhookSecret
from taskd.rql.parser import parse
from taskd.store.base import Change, Completed, Failed, Requeued, Retried, TaskStore

OpenStore = Callable[[], Awaitable[TaskStore]]
SECRET = WebhookSecret("whsec_" + "A" * 32)
ENDS = ("task.complete", "task.failed", "task.retried", "task.canceled")
DRAFT = WebhookDraft("https://example.com/hook", ENDS, (SECRET,))
ERROR = TaskError(ErrorType.RUNTIME, "E", "m")
UNKNOWN = "0" * 24


async def complete(store: TaskStore, data: bytes = b"{}", tags: tuple[str, ...] = ()) -> Task:
    await store.add([TaskDraft("f", data, store.now_ms(), tags=tags)])
    [task] = await store.claim(1)
    [ended] = await store.settle([Completed(task.id)])
    assert ended is not None
    return ended


async def waiting(store: TaskStore, webhook: Webhook) -> list[Delivery]:
    """What was made of all that is owed."""
    while (await store.fan_out(100)).events:
        pass
    return (await store.find_deliveries(webhook.id, parse("status=waiting&limit(100)"))).rows


async def attempt(store: TaskStore, webhook: Webhook, error: str | None = None) -> Delivery | None:
    """Attempts the one delivery that is due."""
    [begun] = await store.begin_deliveries(webhook.id, 1)
    [settled] = await store.settle_deliveries([Attempt(begun.id, store.now_ms(), 200 if error is None else 500, error)])
    return settled


async def test_a_webhook_is_kept_changed_found_and_removed(open_store: OpenStore, clock: FakeClock) -> None:
    store = await open_store()
    webhook = await store.add_webhook(DRAFT)
    assert (webhook.creation_ms, webhook.secrets, webhook.enabled) == (clock(), (SECRET,), True)
    store = await open_store()
    changed = await store.change_webhook(webhook.id, lambda kept: replace(kept, description="new"))
    store = await open_store()
    assert await store.webhook(webhook.id) == changed == replace(webhook, description="new")
    assert (await store.find_webhooks(parse("description=new&enabled=true"))).rows == [changed]
    assert (await store.find_webhooks(parse("events=task.other"))).rows == []
    await store.remove_webhook(webhook.id)
    store = await open_store()
    assert (await store.find_webhooks(parse(""))).rows == []


async def test_an_unknown_webhook_is_refused_everywhere(store: TaskStore) -> None:
    for call in (
        store.webhook(UNKNOWN),
        store.remove_webhook(UNKNOWN),
        store.change_webhook(UNKNOWN, lambda kept: kept),
        store.find_deliveries(UNKNOWN, parse("")),
        store.deliver(UNKNOWN, "e", UNKNOWN, b"{}"),
        store.redeliver(UNKNOWN, UNKNOWN),
    ):
        with pytest.raises(ContractError) as caught:
            await call
        assert caught.value.kind is RESOURCE_UNKNOWN
    assert await store.begin_deliveries(UNKNOWN, 1) == []


async def test_there_may_be_only_so_many_webhooks(store: TaskStore) -> None:
    for _ in range(limits.WEBHOOKS_MAX):
        await store.add_webhook(DRAFT)
    with pytest.raises(ContractError) as caught:
        await store.add_webhook(DRAFT)
    assert caught.value.kind is ILLEGAL_STATE


async def test_each_end_of_a_task_makes_one_delivery(open_store: OpenStore, clock: FakeClock) -> None:
    store = await open_store()
    webhook = await store.add_webhook(DRAFT)
    added = await store.add([TaskDraft("f", b"{}", clock()) for _ in range(5)])
    await store.cancel(added[4].id)
    await store.claim(4)
    successor = TaskDraft("f", b"{}", clock() + 1_000_000)
    await store.settle(
        [
            Completed(added[0].id),
            Failed(added[1].id, ERROR),
            Retried(added[2].id, ERROR, successor),
            Requeued(added[3].id, clock() + 1_000_000),
        ]
    )
    store = await open_store()  # what is owed is kept with the ends
    made = await waiting(store, webhook)
    ended = {"task.complete": 0, "task.failed": 1, "task.retried": 2, "task.canceled": 4}
    assert {each.event_type: each.subject_id for each in made} == {
        event: added[index].id for event, index in ended.items()
    }
    assert {(each.webhook_id, each.creation_ms, each.next_ms) for each in made} == {(webhook.id, clock(), clock())}
    store = await open_store()
    assert (await store.fan_out(100)).events == 0
    assert await waiting(store, webhook) == made


async def test_a_webhook_is_told_of_what_it_wants_and_of_nothing_that_was_before(store: TaskStore) -> None:
    await complete(store)
    webhook = await store.add_webhook(replace(DRAFT, events=("task.failed",)))
    other = await store.add_webhook(replace(DRAFT, enabled=False))
    await complete(store)
    assert await waiting(store, webhook) == await waiting(store, other) == []
    assert store.next_delivery_ms() is None


@pytest.mark.parametrize(
    ("rql", "found"),
    [
        ("eq(data.a,1)", True),
        ("eq(data.a,2)", False),
        ("in(tags,x,y)&status=complete", True),
        ("functionName=g", False),
        ("like(functionName,F)|ne(functionName,f)", True),
        ("gt(creationTimestamp,2020-01-01T00:00:00.000Z)&priority=0", True),
        ("contains(error)", False),
        ("data.b=re:^x+$", True),
    ],
)
async def test_a_condition_is_about_the_task_with_all_its_data(open_store: OpenStore, rql: str, *, found: bool) -> None:
    """The data is too large to stay in memory; after a restart it is nowhere but in the catalogue."""
    store = await open_store()
    webhook = await store.add_webhook(replace(DRAFT, rql=rql))
    await complete(store, b'{"a":1,"b":"%b"}' % (b"x" * 3_000), ("x",))
    store = await open_store()
    assert bool(await waiting(store, webhook)) == found


async def test_a_delivery_is_tried_ten_times_with_growing_delays(store: TaskStore, clock: FakeClock) -> None:
    webhook = await store.add_webhook(DRAFT)
    await complete(store)
    [delivery] = await waiting(store, webhook)
    for number, delay_ms in enumerate(limits.DELIVERY_DELAYS_MS, 1):
        assert store.due_webhooks() == [webhook.id]
        tried = await attempt(store, webhook, "no")
        assert tried is not None
        assert (tried.id, tried.attempts, tried.status) == (delivery.id, number, DeliveryStatus.WAITING)
        assert delay_ms <= tried.next_ms - clock() < delay_ms * 1.1
        clock.now_ms = tried.next_ms - 1
        assert store.due_webhooks() == []
        assert store.next_delivery_ms() == tried.next_ms
        clock.advance(1)
    failed = await attempt(store, webhook, "no")
    assert failed is not None
    assert (failed.attempts, failed.status, failed.status_code, failed.error) == (10, DeliveryStatus.FAILED, 500, "no")
    assert store.next_delivery_ms() is None
    assert (await store.find_deliveries(webhook.id, parse("status=failed&statusCode=500"))).rows == [failed]


async def test_what_was_attempted_by_a_process_that_ended_is_attempted_again(open_store: OpenStore) -> None:
    store = await open_store()
    webhook = await store.add_webhook(DRAFT)
    await complete(store)
    await waiting(store, webhook)
    [begun] = await store.begin_deliveries(webhook.id, 5)
    assert await store.begin_deliveries(webhook.id, 5) == []
    assert store.next_delivery_ms() is None
    store = await open_store()
    assert await store.begin_deliveries(webhook.id, 5) == [begun]


async def test_a_delivery_that_ended_is_delivered_again_under_its_id(open_store: OpenStore, clock: FakeClock) -> None:
    store = await open_store()
    webhook = await store.add_webhook(DRAFT)
    await complete(store)
    [delivery] = await waiting(store, webhook)
    done = await attempt(store, webhook)
    assert done is not None
    assert done.status is DeliveryStatus.DELIVERED
    store = await open_store()
    clock.advance(5)
    again = await store.redeliver(webhook.id, delivery.id)
    assert (again.id, again.content, again.status, again.next_ms) == (
        delivery.id,
        delivery.content,
        DeliveryStatus.WAITING,
        clock(),
    )
    assert await store.begin_deliveries(webhook.id, 5) == [again]
    other = await store.add_webhook(DRAFT)
    with pytest.raises(ContractError) as caught:
        await store.redeliver(other.id, delivery.id)
    assert caught.value.kind is RESOURCE_UNKNOWN


async def test_what_waits_for_a_disabled_webhook_goes_on_when_it_is_enabled(
    open_store: OpenStore, clock: FakeClock
) -> None:
    store = await open_store()
    webhook = await store.add_webhook(DRAFT)
    await complete(store)
    [delivery] = await waiting(store, webhook)
    await store.change_webhook(webhook.id, lambda kept: rules.disable(kept, clock(), "because"))
    await complete(store)
    store = await open_store()
    assert (await store.webhook(webhook.id)).disabled_reason == "because"
    assert await waiting(store, webhook) == [delivery]
    assert (store.due_webhooks(), store.next_delivery_ms()) == ([], None)
    assert await store.begin_deliveries(webhook.id, 5) == []
    await store.change_webhook(webhook.id, lambda kept: rules.enable(kept, clock()))
    assert await store.begin_deliveries(webhook.id, 5) == [delivery]


async def test_with_a_webhook_goes_what_waits_for_it_also_while_it_is_attempted(open_store: OpenStore) -> None:
    store = await open_store()
    webhook, other = await store.add_webhook(DRAFT), await store.add_webhook(DRAFT)
    await complete(store)
    await waiting(store, webhook)
    [begun] = await store.begin_deliveries(webhook.id, 1)
    await store.remove_webhook(webhook.id)
    assert await store.settle_deliveries([Attempt(begun.id, 1)]) == [None]
    store = await open_store()
    assert store.due_webhooks() == [other.id]


async def test_nothing_is_known_any_more_of_what_was_erased(open_store: OpenStore) -> None:
    store = await open_store()
    webhook = await store.add_webhook(DRAFT)
    tasks = [await complete(store) for _ in range(3)]
    await store.fan_out(2)
    await attempt(store, webhook)
    await store.forget_deliveries([task.id for task in tasks])
    store = await open_store()
    assert (await store.fan_out(10)).events == 0
    assert (await store.find_deliveries(webhook.id, parse(""))).rows == []
    assert store.next_delivery_ms() is None


async def test_erased_tasks_take_along_what_was_delivered_waits_and_is_owed(open_store: OpenStore) -> None:
    store = await open_store()
    webhook = await store.add_webhook(replace(DRAFT, include_data=True))
    tasks = [await complete(store, b'{"patient":"ada"}') for _ in range(3)]
    await store.fan_out(2)
    await attempt(store, webhook)
    kept = await complete(store)
    await store.erase_tasks([task.id for task in tasks])
    store = await open_store()
    assert [each.subject_id for each in await waiting(store, webhook)] == [kept.id]
    assert len((await store.find_deliveries(webhook.id, parse(""))).rows) == 1


async def test_with_a_task_go_its_deliveries_and_no_others(open_store: OpenStore) -> None:
    store = await open_store()
    webhook = await store.add_webhook(DRAFT)
    told, waits, owed, other = [await complete(store) for _ in range(4)]
    await store.fan_out(2)
    await attempt(store, webhook)
    assert await store.delete_tasks([told.id, waits.id, owed.id]) == 3
    store = await open_store()
    assert [each.subject_id for each in await waiting(store, webhook)] == [other.id]
    assert (await store.find_deliveries(webhook.id, parse(""))).total == 1


async def test_a_webhook_for_which_too_many_would_wait_is_disabled(
    store: TaskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "DELIVERIES_WAITING_MAX", 3)
    webhook = await store.add_webhook(DRAFT)
    for _ in range(5):
        await complete(store)
    fanned = await store.fan_out(10)
    assert (fanned.events, fanned.deliveries) == (5, 3)
    assert fanned.disabled == [await store.webhook(webhook.id)]
    assert fanned.disabled[0].disabled_reason == "Too many deliveries waited for it."
    assert len(await waiting(store, webhook)) == 3
    with pytest.raises(ContractError) as caught:
        await store.deliver(webhook.id, "webhook.test", webhook.id, b"{}")
    assert caught.value.kind is ILLEGAL_STATE


async def test_whoever_delivers_hears_of_ends_and_of_new_deliveries(store: TaskStore) -> None:
    heard = asyncio.Event()
    store.on_change(Change.DELIVERIES, heard.set)
    webhook = await store.add_webhook(DRAFT)
    heard.clear()
    await complete(store)
    await asyncio.wait_for(heard.wait(), 5)
    assert store.next_delivery_ms() is not None
    heard.clear()
    await store.deliver(webhook.id, "webhook.test", webhook.id, b"{}")
    await asyncio.wait_for(heard.wait(), 5)
