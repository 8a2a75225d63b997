"""Dispatchers: added, changed, removed, found; the rules that they keep."""

import asyncio
from typing import Any

import pytest
from conformance.conftest import OpenStore
from msgspec.structs import replace
from support.clocks import FakeClock

from taskd.model import dispatcher as rules
from taskd.model import errors, limits
from taskd.model.dispatcher import Action, ActionType, Dispatcher, DispatcherDraft
from taskd.model.errors import ContractError, ErrorKind
from taskd.model.event import EventDraft
from taskd.model.objectid import is_object_id
from taskd.rql.parser import parse
from taskd.store.base import TaskStore

UNKNOWN = "0" * 24


def running(name: str | None = None, **fields: Any) -> Action:
    return Action("", ActionType.TASK, name, function_name="f", **fields)


async def dispatching(store: TaskStore, type_: str, *actions: Action, **fields: Any) -> Dispatcher:
    return await store.add_dispatcher(DispatcherDraft(type_, actions, **fields))


async def assert_refused(verb: Any, kind: ErrorKind) -> None:
    with pytest.raises(ContractError) as refused:
        await verb
    assert refused.value.kind is kind


async def listed(store: TaskStore, query: str = "") -> list[Dispatcher]:
    return (await store.find_dispatchers(parse(query))).rows


async def test_a_dispatcher_gets_ids_and_comes_back(open_store: OpenStore, clock: FakeClock) -> None:
    store = await open_store()
    mail = Action("", ActionType.MAIL, "m", recipients=b'{"to": ["a@example.com"]}', template_id="1" * 24)
    kept = await dispatching(store, "order", running("a", data=b'{"x":  1}'), mail, name="d", tags=("EXH_CLI_MANAGED",))
    assert all(map(is_object_id, [kept.id, *(action.id for action in kept.actions)]))
    assert (kept.creation_ms, kept.update_ms) == (clock(), clock())
    await dispatching(store, "other")
    store = await open_store()
    for query in (
        "eventType=order",
        "name=d",
        f"id={kept.id}",
        "eq(tags,EXH%255FCLI%255FMANAGED)",
        "actions.type=mail",
    ):
        assert await listed(store, query) == [kept], query
    assert (await store.find_dispatchers(parse("limit(1)"))).total == 2


async def test_what_is_changed_is_seen_by_the_next_event(store: TaskStore, clock: FakeClock) -> None:
    kept = await dispatching(store, "order", running("a"))
    await store.change_dispatcher(kept.id, lambda each: rules.with_action(each, running("b"), clock()))
    moved = await store.change_dispatcher(kept.id, lambda each: replace(each, event_type="other", update_ms=1))
    assert [action.name for action in moved.actions] == ["a", "b"]
    assert is_object_id(moved.actions[1].id)
    assert await listed(store) == [moved]
    await store.publish(EventDraft("order"))
    assert (await store.find(parse(""))).total == 0
    await store.publish(EventDraft("other"))
    assert (await store.find(parse(""))).total == 2
    await store.change_dispatcher(kept.id, lambda each: rules.without_action(each, moved.actions[0].id, clock()))
    await store.publish(EventDraft("other"))
    assert (await store.find(parse(""))).total == 3
    await store.remove_dispatcher(kept.id)
    await store.publish(EventDraft("other"))
    assert (await store.find(parse(""))).total == 3


async def test_what_is_not_there_is_unknown(store: TaskStore) -> None:
    kept = await dispatching(store, "order")
    await assert_refused(store.change_dispatcher(UNKNOWN, lambda each: each), errors.RESOURCE_UNKNOWN)
    await assert_refused(store.remove_dispatcher(UNKNOWN), errors.RESOURCE_UNKNOWN)
    without = store.change_dispatcher(kept.id, lambda each: rules.without_action(each, UNKNOWN, 0))
    await assert_refused(without, errors.RESOURCE_UNKNOWN)
    assert await listed(store) == [kept]


async def test_names_are_taken_once(store: TaskStore) -> None:
    first = await dispatching(store, "order", running("a"), running(), running(), name="d")
    await assert_refused(dispatching(store, "other", name="d"), errors.ALREADY_EXISTS)
    await assert_refused(dispatching(store, "other", running("a"), running("a")), errors.ALREADY_EXISTS)
    second = await dispatching(store, "order", running("a"), name="e")
    renamed = store.change_dispatcher(second.id, lambda each: replace(each, name="d"))
    await assert_refused(renamed, errors.ALREADY_EXISTS)
    added = store.change_dispatcher(first.id, lambda each: rules.with_action(each, running("a"), 0))
    await assert_refused(added, errors.ALREADY_EXISTS)
    assert await listed(store) == [first, second]


async def test_of_one_name_at_once_one_is_made(store: TaskStore) -> None:
    made = await asyncio.gather(*(dispatching(store, "t", name="d") for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(each, Dispatcher) for each in made) == 1
    assert len(await listed(store)) == 1


async def test_there_are_only_so_many_of_a_type(store: TaskStore) -> None:
    for _ in range(limits.DISPATCHERS_PER_TYPE_MAX):
        await dispatching(store, "order")
    await assert_refused(dispatching(store, "order"), errors.ILLEGAL_STATE)
    other = await dispatching(store, "other")
    moved = store.change_dispatcher(other.id, lambda each: replace(each, event_type="order"))
    await assert_refused(moved, errors.ILLEGAL_STATE)


async def test_there_are_only_so_many_actions_and_so_much_data(store: TaskStore) -> None:
    kept = await dispatching(store, "order", *[running() for _ in range(limits.DISPATCHER_ACTIONS_MAX)])
    one_more = store.change_dispatcher(kept.id, lambda each: rules.with_action(each, running(), 0))
    await assert_refused(one_more, errors.ILLEGAL_STATE)
    large = running(data=b'{"a":"%b"}' % (b"x" * (limits.DISPATCHER_DATA_MAX_BYTES - 8)))
    for _ in range(6):
        await dispatching(store, "order", *[large] * 20)
    await assert_refused(dispatching(store, "order", *[large] * 20), errors.ILLEGAL_STATE)
