"""What a store that nodes share must do: what one node claims is its own, and what one changes all come to see."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from support.clocks import FakeClock
from support.store.memory_store import LEASE_MS, MemoryStore, SharedRecords
from support.store.views import in_progress

from taskd.model.delivery import Attempt
from taskd.model.errors import ContractError
from taskd.model.function import Function
from taskd.model.idempotency import IdempotencyKey
from taskd.model.schedule import ScheduleDraft
from taskd.model.status import Status
from taskd.model.task import ZOMBIE_ERROR_NAME, Task, TaskDraft
from taskd.model.webhook import WebhookDraft, WebhookSecret
from taskd.rql.parser import parse
from taskd.store.base import Change, Completed, FunctionChangedError, Requeued, TaskStore

Nodes = tuple[TaskStore, TaskStore]
FUNCTION = Function("f", "index.handler", "python3.11", 1, "v1")


@pytest.fixture
async def nodes(clock: FakeClock) -> AsyncIterator[Nodes]:
    shared = SharedRecords(clock)
    first, second = MemoryStore(shared, "first"), MemoryStore(shared, "second")
    await first.start()
    await second.start()
    yield first, second
    await first.stop()
    await second.stop()


async def add(store: TaskStore, count: int = 1) -> list[Task]:
    return await store.add([TaskDraft("f", b"{}", store.now_ms()) for _ in range(count)])


async def test_a_task_is_claimed_by_one_node_however_many_try(nodes: Nodes) -> None:
    tasks = await add(nodes[0], 50)
    claims = await asyncio.gather(*(nodes[turn % 2].claim(3) for turn in range(40)))
    times = Counter(task.id for claim in claims for task in claim)
    assert times == Counter(task.id for task in tasks)


async def test_only_the_node_that_claimed_a_task_settles_it(nodes: Nodes) -> None:
    first, second = nodes
    [task] = await add(first)
    await second.claim(1)
    assert await first.settle([Completed(task.id)]) == [None]
    [settled] = await second.settle([Completed(task.id)])
    assert settled is not None
    assert (await first.get(task.id)) == settled


async def test_a_node_sees_what_another_has_added_and_settled(nodes: Nodes) -> None:
    first, second = nodes
    [task] = await add(first)
    assert (await second.find(parse("status=new"))).rows == [task]
    await second.claim(1)
    await second.settle([Completed(task.id)])
    assert (await first.find(parse("status=complete"))).total == 1


async def test_a_node_that_waits_is_told_of_another_nodes_task(nodes: Nodes) -> None:
    first, second = nodes
    told = asyncio.Event()
    second.on_change(Change.DUE, told.set)
    await add(first)
    await asyncio.wait_for(told.wait(), 10)
    assert len(await second.claim(1)) == 1


async def test_a_node_that_starts_leaves_alone_what_others_are_running(nodes: Nodes, clock: FakeClock) -> None:
    first, second = nodes
    await add(first, 3)
    claimed = await first.claim(3)
    assert await second.reap(10) == []
    assert len(await in_progress(second)) == 3
    assert [task for task in await first.settle([Completed(task.id) for task in claimed]) if task is None] == []


async def test_a_node_that_no_longer_shows_itself_is_reaped_and_fenced(nodes: Nodes, clock: FakeClock) -> None:
    first, second = nodes
    [left, requeued] = await add(first, 2)
    await first.claim(2)
    clock.advance(LEASE_MS)
    reaped = await second.reap(10)
    assert {(task.id, task.error.name) for task in reaped if task.error} == {
        (left.id, ZOMBIE_ERROR_NAME),
        (requeued.id, ZOMBIE_ERROR_NAME),
    }
    late = await first.settle([Completed(left.id), Requeued(requeued.id, clock())])
    assert late == [None, None], "it comes too late, and changes nothing"
    assert {(await second.get(task.id)).status for task in (left, requeued)} == {Status.FAILED}
    assert await second.reap(10) == []


async def test_a_node_that_goes_in_order_is_gone_at_once(nodes: Nodes) -> None:
    first, second = nodes
    await add(first)
    await first.claim(1)
    assert len((await second.status()).nodes) == 2
    await first.stop()
    assert [node.host for node in (await second.status()).nodes] == ["second"]
    assert len(await second.reap(10)) == 1


async def test_a_function_that_one_node_changes_is_seen_by_the_other_once_it_is_told(nodes: Nodes) -> None:
    first, second = nodes
    told = asyncio.Event()
    second.on_change(Change.FUNCTIONS, told.set)
    own: list[bool] = []
    first.on_change(Change.FUNCTIONS, lambda: own.append(True))
    await first.put_function(FUNCTION, None)
    await asyncio.wait_for(told.wait(), 10)
    assert second.functions() == [FUNCTION]
    told.clear()
    await first.remove_function("f")
    await asyncio.wait_for(told.wait(), 10)
    assert second.function("f") is None
    assert own == [], "its own changes are no news to a node"


async def test_a_change_made_from_an_old_view_is_refused_and_the_view_is_new_then(nodes: Nodes) -> None:
    first, second = nodes
    newer = Function("f", "index.handler", "python3.11", 2, "v2")
    await first.put_function(FUNCTION, None)
    await first.put_function(newer, FUNCTION)
    with pytest.raises(FunctionChangedError):
        await second.put_function(Function("f", "other.handler", "python3.11", 3, "v3"), FUNCTION)
    assert second.function("f") == newer


async def test_an_occurrence_is_made_by_one_node(nodes: Nodes, clock: FakeClock) -> None:
    first, second = nodes
    await first.add_schedule(ScheduleDraft("f", b"{}", 1_000, clock()))
    for _ in range(5):
        made = await asyncio.gather(first.fire(10), second.fire(10))
        assert sum(len(fired.occurrences) for fired in made) == 1
        clock.advance(1_000)
    assert (await second.find(parse(""))).total == 5


async def test_a_key_that_was_used_on_one_node_is_used_on_all(nodes: Nodes, clock: FakeClock) -> None:
    first, second = nodes
    drafts = [TaskDraft("f", b"{}", clock())]
    key = IdempotencyKey(b"k" * 32, b"request")
    assert await first.add(drafts, key) == await second.add(drafts, key)
    with pytest.raises(ContractError):
        await second.add(drafts, IdempotencyKey(b"k" * 32, b"another"))
    assert (await first.find(parse(""))).total == 1


async def test_one_node_cancels_what_another_has_added_but_not_what_it_runs(nodes: Nodes) -> None:
    first, second = nodes
    waiting, running = await add(first, 2)
    assert (await second.cancel(waiting.id)).status is Status.CANCELED
    await first.claim(1)
    with pytest.raises(ContractError):
        await second.cancel(running.id)


async def test_a_node_is_told_of_the_end_that_another_puts_to_a_task(nodes: Nodes) -> None:
    first, second = nodes
    [task] = await add(first)
    waiting = asyncio.create_task(first.ended(task.id))
    await second.claim(1)
    await second.settle([Completed(task.id)])
    assert (await waiting).status is Status.COMPLETE


async def test_a_delivery_is_one_nodes_to_attempt_until_that_is_dead(nodes: Nodes, clock: FakeClock) -> None:
    first, second = nodes
    webhook = await first.add_webhook(WebhookDraft("https://example.com", ("task.complete",), (WebhookSecret("s"),)))
    await add(first, 3)
    await first.settle([Completed(task.id) for task in await first.claim(3)])
    made = [fanned.deliveries for fanned in await asyncio.gather(*(nodes[turn % 2].fan_out(2) for turn in range(4)))]
    assert sum(made) == 3
    [begun] = await first.begin_deliveries(webhook.id, 1)
    others = await second.begin_deliveries(webhook.id, 10)
    assert len({begun.id, *(each.id for each in others)}) == 3
    assert isinstance(first, MemoryStore)
    first.die()
    clock.advance(LEASE_MS)
    await second.settle_deliveries([Attempt(each.id, clock(), 200) for each in others])
    assert await second.begin_deliveries(webhook.id, 10) == [begun]
