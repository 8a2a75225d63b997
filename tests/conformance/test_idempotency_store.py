"""What every store must do with idempotency keys: create once, and remember for a day."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from support.clocks import FakeClock

from taskd.model import limits
from taskd.model.errors import ILLEGAL_ARGUMENT, TOO_MANY_REQUESTS, ContractError
from taskd.model.idempotency import IdempotencyKey
from taskd.model.status import Status
from taskd.model.task import TaskDraft
from taskd.rql.parser import parse
from taskd.store.base import Completed, TaskStore

OpenStore = Callable[[], Awaitable[TaskStore]]
DAY_MS = limits.IDEMPOTENCY_KEY_TTL_MS


def key(name: str = "key", request: str = "request", owner: str = "") -> IdempotencyKey:
    return IdempotencyKey(name.encode().ljust(16), request.encode().ljust(16), owner)


def drafts(clock: FakeClock, count: int = 1) -> list[TaskDraft]:
    return [TaskDraft("f", b"{}", clock()) for _ in range(count)]


async def total(store: TaskStore) -> int | None:
    return (await store.find(parse(""))).total


async def test_the_second_time_gives_the_first_tasks_and_adds_none(store: TaskStore, clock: FakeClock) -> None:
    first = await store.add(drafts(clock, 3), key())
    assert await store.add(drafts(clock, 3), key()) == first
    assert await total(store) == 3
    assert [task.id for task in await store.claim(9)] == [task.id for task in first]


async def test_the_second_time_gives_the_task_as_it_is_now(store: TaskStore, clock: FakeClock) -> None:
    [task] = await store.add(drafts(clock), key())
    await store.claim(1)
    assert [again.status for again in await store.add(drafts(clock), key())] == [Status.IN_PROGRESS]
    await store.settle([Completed(task.id)])
    assert [again.status for again in await store.add(drafts(clock), key())] == [Status.COMPLETE]


async def test_another_request_with_the_same_key_is_refused(store: TaskStore, clock: FakeClock) -> None:
    await store.add(drafts(clock), key())
    with pytest.raises(ContractError, match="new key") as raised:
        await store.add(drafts(clock), key(request="another"))
    assert raised.value.kind is ILLEGAL_ARGUMENT
    assert await total(store) == 1


async def test_other_keys_and_no_keys_create(store: TaskStore, clock: FakeClock) -> None:
    for name in ("one", "two"):
        await store.add(drafts(clock), key(name))
    await store.add(drafts(clock))
    assert await total(store) == 3


async def test_requests_with_one_key_at_once_create_once(store: TaskStore, clock: FakeClock) -> None:
    results = await asyncio.gather(*(store.add(drafts(clock, 2), key()) for _ in range(10)))
    assert len({tuple(task.id for task in tasks) for tasks in results}) == 1
    assert await total(store) == 2


async def test_one_that_gives_up_still_counts_as_the_first(store: TaskStore, clock: FakeClock) -> None:
    giving_up = asyncio.create_task(store.add(drafts(clock), key()))
    await asyncio.sleep(0)
    giving_up.cancel()
    again = await store.add(drafts(clock), key())
    assert giving_up.cancelled()
    assert len(again) == await total(store) == 1


async def test_keys_are_remembered_over_restarts(open_store: OpenStore, clock: FakeClock) -> None:
    store = await open_store()
    first = await store.add(drafts(clock, 2), key())
    clock.advance(DAY_MS - 1)
    store = await open_store()
    assert await store.add(drafts(clock, 2), key()) == first
    with pytest.raises(ContractError):
        await store.add(drafts(clock), key(request="another"))


@pytest.mark.parametrize("restart", [False, True])
async def test_a_key_is_new_again_after_its_time(open_store: OpenStore, clock: FakeClock, restart: bool) -> None:
    store = await open_store()
    [first] = await store.add(drafts(clock), key())
    clock.advance(DAY_MS + 1)
    if restart:
        store = await open_store()
    [second] = await store.add(drafts(clock), key(request="another"))
    assert second.id != first.id
    assert await store.add(drafts(clock), key(request="another")) == [second]


async def test_so_many_keys_a_day_and_no_more(
    store: TaskStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "IDEMPOTENCY_KEYS_MAX", 3)
    first = await store.add(drafts(clock), key("0"))
    for name in ("1", "2"):
        clock.advance(1000)
        await store.add(drafts(clock), key(name))
    with pytest.raises(ContractError, match="key") as raised:
        await store.add(drafts(clock), key("3"))
    assert raised.value.kind is TOO_MANY_REQUESTS
    assert await store.add(drafts(clock), key("0")) == first
    await store.add(drafts(clock))
    clock.now_ms += DAY_MS - 1000
    await store.add(drafts(clock), key("3"))


@pytest.mark.parametrize("restart", [False, True])
async def test_a_caller_who_has_used_all_keys_leaves_some_to_others(
    open_store: OpenStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, restart: bool
) -> None:
    monkeypatch.setattr(limits, "IDEMPOTENCY_KEYS_MAX", 4)
    store = await open_store()
    for number in range(4):
        await store.add(drafts(clock), key(f"greedy {number}", owner="greedy"))
    if restart:
        store = await open_store()
    with pytest.raises(ContractError, match="keys were used") as raised:
        await store.add(drafts(clock), key("greedy 4", owner="greedy"))
    assert raised.value.kind is TOO_MANY_REQUESTS
    await store.add(drafts(clock), key("modest", owner="modest"))
    clock.now_ms += DAY_MS + 1000
    for number in range(4):
        await store.add(drafts(clock), key(f"greedy {number}", owner="greedy"))
