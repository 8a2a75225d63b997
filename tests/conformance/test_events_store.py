"""Events: kept, listed, and each in one step with the tasks that are made of it."""

import asyncio
import json
from typing import Any

import pytest
from conformance.conftest import OpenStore
from msgspec.structs import replace
from support.clocks import FakeClock
from support.store.views import settle_one

from taskd.model import errors, limits
from taskd.model.dispatcher import Action, ActionType, Dispatcher, DispatcherDraft
from taskd.model.dispatching import Publication
from taskd.model.errors import ContractError
from taskd.model.event import EVENT_CHAIN_MAX, EventDraft, ServiceVersion, SubscriptionDraft
from taskd.model.function import Function, RetryPolicy
from taskd.model.retry import successor_of
from taskd.model.task import ErrorType, Task, TaskDraft, TaskError
from taskd.model.task_extras import TaskExtras
from taskd.rql.parser import parse
from taskd.store.base import Failed, Retried, TaskStore

ERROR = TaskError(ErrorType.RUNTIME, "E", "m")
LARGEST = b'{"a":"%b"}' % (b"x" * (limits.EVENT_CONTENT_MAX_BYTES - 8))


def running(name: str = "f", **fields: Any) -> Action:
    return Action("", ActionType.TASK, function_name=name, **fields)


async def dispatching(store: TaskStore, type_: str, *actions: Action, **fields: Any) -> Dispatcher:
    return await store.add_dispatcher(DispatcherDraft(type_, actions, **fields))


async def all_tasks(store: TaskStore) -> list[Task]:
    return (await store.find(parse("limit(100)"))).rows


async def types(store: TaskStore) -> list[str]:
    return [event.type for event in (await store.find_events(parse("limit(100)"))).rows]


async def failing(store: TaskStore, **fields: Any) -> Task:
    """A task that has begun, and is to fail."""
    return await store.add_started(TaskDraft("f", b"{}", store.now_ms(), **fields))


async def test_an_event_is_kept_as_it_came(open_store: OpenStore, clock: FakeClock) -> None:
    store = await open_store()
    content = b'{"b": [], "a": {},  "\\u0061":1.50}'
    published = await store.publish(EventDraft("order", content, created_by_user_id="u"))
    without = await store.publish(EventDraft("order"))
    assert (published.type, published.content, published.creation_ms) == ("order", content, clock())
    for _ in range(2):  # also when it comes back
        listed = await store.find_events(parse(""))
        assert (listed.rows, listed.total) == ([published, without], 2)
        store = await open_store()


async def test_events_are_found_by_their_content(store: TaskStore, clock: FakeClock) -> None:
    for number in range(3):
        await store.publish(EventDraft("order" if number else "other", b'{"user_id":"u%d"}' % number))
        clock.advance(1_000)
    found = await store.find_events(parse(f"type=order&content.user_id=u2&gt(creation_timestamp,{clock() - 1_500})"))
    assert [event.content for event in found.rows] == [b'{"user_id":"u2"}']
    by_type = await store.find_events(parse("sort(-type,-creation_timestamp)&limit(2,1)&skipCount()"))
    assert [event.content for event in by_type.rows] == [b'{"user_id":"u2"}', b'{"user_id":"u1"}']
    assert by_type.total is None


async def test_an_event_makes_a_task_for_every_action_of_every_dispatcher_of_its_type(
    store: TaskStore, clock: FakeClock
) -> None:
    await store.put_function(Function("g", "index.handler", "python3.11", 0, "v", default_priority=7), None)
    far_ms = clock() + 99_000
    await dispatching(store, "order", running(data=b'{"a": 1 }', tags=("x", "y")), running("g", start_ms=far_ms))
    await dispatching(store, "order", running("unknown"), Action("", ActionType.MAIL, template_id="1" * 24))
    await dispatching(store, "other", running())
    draft = EventDraft("order", b'{"n": 1}', created_by_user_id="u", created_by_application_id="p")
    event = await store.publish(draft)
    f, g, unknown = await all_tasks(store)
    seen = b'{"id":"%b","type":"order","content":{"n": 1},"creation_timestamp":%d}' % (event.id.encode(), clock())
    assert f.data == b'{"a": 1,"event":' + seen + b"}"
    assert g.data == unknown.data == b'{"event":' + seen + b"}"
    assert [(task.function_name, task.priority) for task in (f, g, unknown)] == [("f", 0), ("g", 7), ("unknown", 0)]
    assert [task.start_ms for task in (f, g, unknown)] == [clock(), far_ms, clock()]
    assert (f.tags, g.tags, unknown.tags) == (("x", "y"), (), ())
    assert {(task.created_by_user_id, task.created_by_application_id) for task in (f, g, unknown)} == {("u", "p")}
    assert [task.function_name for task in await store.claim(9)] == ["f", "unknown"]


@pytest.mark.parametrize("data", [b'{"event": 1, "k": "\\u00e9"}', b'{"k":"\\u00e9","\\u0065vent":{"event":2}}'])
async def test_an_event_of_the_users_own_is_overwritten(store: TaskStore, data: bytes) -> None:
    await dispatching(store, "order", running(data=data))
    event = await store.publish(EventDraft("order"))
    [task] = await all_tasks(store)
    assert task.data.count(b'event"') == 1
    of_event = {"id": event.id, "type": "order", "creation_timestamp": event.creation_ms}
    assert json.loads(task.data) == {"k": "é", "event": of_event}


async def test_the_largest_event_fits_the_largest_data(store: TaskStore) -> None:
    await dispatching(store, "order", running(data=b'{"a":"%b"}' % (b"y" * (limits.DISPATCHER_DATA_MAX_BYTES - 8))))
    await store.publish(EventDraft("order", LARGEST))
    [task] = await store.claim(1)
    assert len(task.data) > limits.EVENT_CONTENT_MAX_BYTES + limits.DISPATCHER_DATA_MAX_BYTES
    assert len(task.data) < limits.TASK_DATA_MAX_BYTES


async def test_more_than_fits_one_step_is_refused_as_a_whole(store: TaskStore) -> None:
    for _ in range(10):
        await dispatching(store, "order", *[running() for _ in range(limits.DISPATCHER_ACTIONS_MAX)])
    with pytest.raises(ContractError) as refused:
        await store.publish(EventDraft("order", LARGEST))
    assert refused.value.kind is errors.BODY_TOO_LARGE
    assert (await types(store), await all_tasks(store)) == ([], [])


async def test_the_same_id_of_one_sender_is_the_same_event_for_a_day(open_store: OpenStore, clock: FakeClock) -> None:
    store = await open_store()
    await dispatching(store, "order", running())
    draft = EventDraft("order", b"{}", "evt-1", created_by_user_id="u")
    first = await store.publish(draft)
    assert first.id == "evt-1"
    clock.advance(limits.IDEMPOTENCY_KEY_TTL_MS)
    store = await open_store()
    assert await store.publish(draft) == first
    assert len(await all_tasks(store)) == 1
    for other in (replace(draft, type="other"), replace(draft, content=b'{"n":1}')):
        with pytest.raises(ContractError) as refused:
            await store.publish(other)
        assert refused.value.kind is errors.ILLEGAL_ARGUMENT
    assert (await store.publish(replace(draft, created_by_user_id="v"))).creation_ms == clock()
    clock.advance(1)
    assert (await store.publish(draft)).creation_ms == clock()
    assert await types(store) == ["order"] * 3
    assert len(await all_tasks(store)) == 3


async def test_an_id_that_is_sent_many_times_at_once_makes_one_event(store: TaskStore) -> None:
    await dispatching(store, "order", running())
    sent = await asyncio.gather(*(store.publish(EventDraft("order", b"{}", "evt-1")) for _ in range(20)))
    assert len({event.creation_ms for event in sent}) == 1
    assert (len(await types(store)), len(await all_tasks(store))) == (1, 1)


async def test_whoever_follows_hears_of_each_event_and_what_it_led_to(store: TaskStore) -> None:
    heard: list[Publication] = []
    store.on_published(heard.append)
    await dispatching(store, "order", running(), running(), Action("", ActionType.MAIL))
    event = await store.publish(EventDraft("order"))
    await store.find_events(parse(""))  # it is told on the event loop, after it happened
    assert heard == [Publication(event, tasks=2, mails=1)]


async def test_a_task_that_fails_for_good_is_an_event_in_the_step_that_it_ends_in(store: TaskStore) -> None:
    task = await failing(store)
    await dispatching(store, "task_failed", running("repair"))
    await settle_one(store, Failed(task.id, ERROR))
    [event] = (await store.find_events(parse("type=task_failed"))).rows
    of_task = {"id": task.id, "functionName": "f", "error": {"type": "runtime", "name": "E", "message": "m"}}
    assert json.loads(event.content or b"") == of_task
    [repair] = (await store.find(parse("functionName=repair"))).rows
    assert json.loads(repair.data)["event"]["content"] == of_task
    assert (repair.created_by_user_id, repair.created_by_application_id) == (None, None)
    assert repair.extras == TaskExtras(event_chain=1)
    assert [each.id for each in await store.claim(9)] == [repair.id]


async def test_a_task_that_is_retried_is_no_event(store: TaskStore) -> None:
    task = await failing(store)
    successor = TaskDraft("f", b"{}", store.now_ms(), retry_for_task_ids=(task.id,))
    await settle_one(store, Retried(task.id, ERROR, successor))
    assert await types(store) == []


async def test_a_task_whose_node_died_is_an_event_too(open_store: OpenStore, clock: FakeClock) -> None:
    store = await open_store()
    task = await failing(store)
    store = await open_store()
    clock.advance(60_000)
    [zombie] = await store.reap(9)
    [event] = (await store.find_events(parse(""))).rows
    assert zombie.id == task.id == json.loads(event.content or b"")["id"]


async def test_a_chain_of_failures_comes_to_an_end(store: TaskStore) -> None:
    """A dispatcher of failures whose own tasks fail, and are tried again in between."""
    heard: list[Publication] = []
    store.on_published(heard.append)
    policy = RetryPolicy(enabled=True, delays_ms=(0,))
    function = Function("f", "index.handler", "python3.11", 0, "v", retry_policy=policy)
    await dispatching(store, "task_failed", running("f"))
    await store.add([TaskDraft("f", b"{}", store.now_ms())])
    while tasks := await store.claim(9):
        for task in tasks:
            successor = successor_of(task, function, ERROR, store.now_ms())
            outcome = Failed(task.id, ERROR) if successor is None else Retried(task.id, ERROR, successor)
            await settle_one(store, outcome)
    assert len(await all_tasks(store)) == 2 * (1 + EVENT_CHAIN_MAX)
    assert await types(store) == ["task_failed"] * (1 + EVENT_CHAIN_MAX)
    assert [each.withheld is None for each in heard] == [True] * EVENT_CHAIN_MAX + [False]


async def test_old_events_are_deleted_oldest_first(store: TaskStore, clock: FakeClock) -> None:
    for type_ in "abcd":
        await store.publish(EventDraft(type_))
        clock.advance(10)
    assert await store.delete_events_before(clock() - 10, 2) == 2
    assert await types(store) == ["c", "d"]
    assert await store.delete_events_before(clock() - 10, 2) == 1
    assert await store.delete_events_before(clock() - 10, 2) == 0
    assert await types(store) == ["d"]


async def test_subscriptions_are_kept_and_listed(open_store: OpenStore, clock: FakeClock) -> None:
    store = await open_store()
    kept = await store.add_subscription(SubscriptionDraft("mailer", ServiceVersion(1, 2, 3), ("order", "x"), True))
    await store.add_subscription(SubscriptionDraft("other", ServiceVersion(1, 0, 0), ("y",)))
    store = await open_store()
    for query in ("service.name=mailer", "event_types=order", "retriable=true", f"id={kept.id}", "limit(1)"):
        assert (await store.find_subscriptions(parse(query))).rows == [kept], query
    assert (await store.find_subscriptions(parse(""))).total == 2
