"""What every store must do, whatever it is made of."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from support.clocks import FakeClock
from support.store.views import in_progress, settle_one

from taskd.model.errors import ILLEGAL_STATE, RESOURCE_UNKNOWN, ContractError
from taskd.model.function import Function, RetryPolicy
from taskd.model.logline import LogLine
from taskd.model.status import Status
from taskd.model.task import ZOMBIE_ERROR_NAME, ErrorType, Task, TaskDraft, TaskError
from taskd.rql.parser import parse
from taskd.store.base import Change, Completed, Failed, FunctionChangedError, Outcome, Requeued, Retried, TaskStore

OpenStore = Callable[[], Awaitable[TaskStore]]
ERROR = TaskError(ErrorType.RUNTIME, "ValueError", "no such patient")
ABSENT = "f" * 24


def draft(clock: FakeClock, *, delay_ms: int = 0, priority: int = 0, data: bytes = b"{}") -> TaskDraft:
    return TaskDraft(function_name="f", data=data, start_ms=clock() + delay_ms, priority=priority, tags=("a", "b"))


async def add_one(store: TaskStore, clock: FakeClock) -> Task:
    return (await store.add([draft(clock)]))[0]


async def bring_to(store: TaskStore, clock: FakeClock, status: Status) -> Task:
    """A task with this status, by the store's own verbs."""
    task = await add_one(store, clock)
    if status is Status.NEW:
        return task
    if status is Status.CANCELED:
        return await store.cancel(task.id)
    started = (await store.claim(1))[0]
    if status is Status.IN_PROGRESS:
        return started
    outcome: dict[Status, Outcome] = {
        Status.COMPLETE: Completed(task.id),
        Status.FAILED: Failed(task.id, ERROR),
        Status.RETRIED: Retried(task.id, ERROR, draft(clock, delay_ms=10_000)),
    }
    return await settle_one(store, outcome[status])


async def test_an_added_task_is_there_with_all_it_was_given(store: TaskStore, clock: FakeClock) -> None:
    data = b'{"patient": {"id": 1}, "text": "\xc3\xa9 \\u0000"}'
    given = TaskDraft("f", data, clock() + 5, -3, ("x", "y"), "u" * 24, "a" * 24, ("b" * 24,), "c" * 24)
    (task,) = await store.add([given])
    assert await store.get(task.id) == task
    assert (task.status, task.creation_ms, task.status_changed_ms) == (Status.NEW, clock(), clock())
    kept = set(TaskDraft.__struct_fields__) - {"on_conflict"}
    assert all(getattr(task, name) == getattr(given, name) for name in kept)
    assert (await store.find(parse(""))).rows == [task]


async def test_tasks_added_together_keep_their_order_and_their_ids_ascend(store: TaskStore, clock: FakeClock) -> None:
    tasks = await store.add([draft(clock, priority=n) for n in range(50)])
    assert [task.priority for task in tasks] == list(range(50))
    assert [task.id for task in tasks] == sorted({task.id for task in tasks})


async def test_claim_gives_the_best_due_tasks_and_only_those(store: TaskStore, clock: FakeClock) -> None:
    later, low, high = await store.add(
        [draft(clock, delay_ms=1, priority=9), draft(clock, priority=1), draft(clock, priority=2)]
    )
    assert [task.id for task in await store.claim(5)] == [high.id, low.id]
    assert await store.claim(5) == []
    clock.advance(1)
    assert [task.id for task in await store.claim(5)] == [later.id]


async def test_a_claimed_task_is_in_progress_and_claimed_once(store: TaskStore, clock: FakeClock) -> None:
    task = await add_one(store, clock)
    claims = await asyncio.gather(*(store.claim(1) for _ in range(5)))
    claimed = [task for claim in claims for task in claim]
    assert [(found.id, found.status) for found in claimed] == [(task.id, Status.IN_PROGRESS)]
    assert await in_progress(store) == claimed


async def test_a_requeued_task_is_due_again_when_it_was_told(store: TaskStore, clock: FakeClock) -> None:
    task = await bring_to(store, clock, Status.IN_PROGRESS)
    waiting = await settle_one(store, Requeued(task.id, clock() + 100))
    assert (waiting.status, waiting.start_ms) == (Status.NEW, task.start_ms)
    assert store.next_due_ms() == clock() + 100
    assert await store.claim(1) == []
    clock.advance(100)
    assert [found.id for found in await store.claim(1)] == [task.id]


async def test_a_retried_task_and_its_successor_know_each_other(store: TaskStore, clock: FakeClock) -> None:
    task = await bring_to(store, clock, Status.IN_PROGRESS)
    successor = TaskDraft("f", task.data, clock() + 2_000, retry_for_task_ids=(task.id,))
    retried = await settle_one(store, Retried(task.id, ERROR, successor))
    assert (retried.status, retried.error) == (Status.RETRIED, ERROR)
    assert retried.retried_by_task_id is not None
    follower = await store.get(retried.retried_by_task_id)
    assert (follower.status, follower.retry_for_task_ids) == (Status.NEW, (task.id,))
    assert store.next_due_ms() == clock() + 2_000


async def test_outcomes_settled_together_come_back_in_their_order(store: TaskStore, clock: FakeClock) -> None:
    tasks = await store.add([draft(clock) for _ in range(4)])
    await store.claim(4)
    ids = [task.id for task in tasks]
    outcomes: list[Outcome] = [
        Failed(ids[0], ERROR),
        Completed(ids[1]),
        Requeued(ids[2], clock() + 1),
        Completed(ids[3]),
    ]
    settled = [task for task in await store.settle(outcomes) if task is not None]
    assert [task.id for task in settled] == ids
    expected = [Status.FAILED, Status.COMPLETE, Status.NEW, Status.COMPLETE]
    assert [task.status for task in settled] == expected
    assert [task.status for task in (await store.find(parse(""))).rows] == expected


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.NEW])
async def test_cancel_is_refused_unless_the_task_is_new(store: TaskStore, clock: FakeClock, status: Status) -> None:
    task = await bring_to(store, clock, status)
    with pytest.raises(ContractError, match=status) as raised:
        await store.cancel(task.id)
    assert raised.value.kind is ILLEGAL_STATE
    assert (await store.get(task.id)).status is status


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.IN_PROGRESS])
@pytest.mark.parametrize(
    "make_outcome",
    [
        lambda task: Completed(task.id),
        lambda task: Failed(task.id, ERROR),
        lambda task: Retried(task.id, ERROR, TaskDraft("f", b"{}", 0)),
        lambda task: Requeued(task.id, 0),
    ],
    ids=["complete", "failed", "retried", "requeued"],
)
async def test_a_task_that_is_not_in_progress_is_not_settled_and_sinks_no_other(
    store: TaskStore, clock: FakeClock, status: Status, make_outcome: Callable[[Task], Outcome]
) -> None:
    task = await bring_to(store, clock, status)
    other = await bring_to(store, clock, Status.IN_PROGRESS) if status is not Status.NEW else None
    count = (await store.find(parse(""))).total
    outcomes = [make_outcome(task), *([Completed(other.id)] if other else [])]
    refused, *ended = await store.settle(outcomes)
    assert refused is None
    assert await store.get(task.id) == task
    assert [found.status for found in ended if found is not None] == [Status.COMPLETE] * len(ended)
    assert (await store.find(parse(""))).total == count, "no successor was made"


async def test_one_task_is_not_settled_twice_at_once(store: TaskStore, clock: FakeClock) -> None:
    task = await bring_to(store, clock, Status.IN_PROGRESS)
    other = (await store.add([draft(clock)]))[0]
    await store.claim(1)
    [first], [second] = await asyncio.gather(store.settle([Completed(task.id)]), store.settle([Failed(task.id, ERROR)]))
    assert (first is None) != (second is None)
    applied, refused = await store.settle([Completed(other.id), Failed(other.id, ERROR)])
    assert applied == await store.get(other.id)
    assert refused is None


async def test_a_task_is_either_claimed_or_canceled_never_both(store: TaskStore, clock: FakeClock) -> None:
    tasks = await store.add([draft(clock) for _ in range(40)])
    operations = [coroutine for task in tasks for coroutine in (store.cancel(task.id), store.claim(1))]
    results = await asyncio.gather(*operations, return_exceptions=True)
    claimed = {task.id for result in results if isinstance(result, list) for task in result}
    canceled = {result.id for result in results if isinstance(result, Task)}
    assert not claimed & canceled
    assert claimed | canceled == {task.id for task in tasks}


async def test_cancelling_twice_at_once_succeeds_once(store: TaskStore, clock: FakeClock) -> None:
    task = await add_one(store, clock)
    results = await asyncio.gather(*(store.cancel(task.id) for _ in range(3)), return_exceptions=True)
    assert [isinstance(result, Task) for result in results] == [True, False, False]


async def test_unknown_ids_are_named(store: TaskStore) -> None:
    assert await store.settle([Completed(ABSENT)]) == [None]
    for call in (store.get(ABSENT), store.cancel(ABSENT)):
        with pytest.raises(ContractError, match=ABSENT) as raised:
            await call
        assert raised.value.kind is RESOURCE_UNKNOWN


async def test_a_listing_sees_everything_written_before_it(store: TaskStore, clock: FakeClock) -> None:
    for count in range(1, 6):
        task = await add_one(store, clock)
        page = await store.find(parse("status=new"))
        assert page.total == count
        assert page.rows[-1] == task
        await store.claim(1)
        await store.settle([Requeued(task.id, clock() + 10_000)])
        assert (await store.find(parse(f"id={task.id}"))).rows[0].status is Status.NEW


async def test_pages_are_cut_from_the_whole_in_creation_order(store: TaskStore, clock: FakeClock) -> None:
    tasks = await store.add([draft(clock) for _ in range(30)])
    page = await store.find(parse("limit(10,25)"))
    assert page.rows == tasks[25:]
    assert page.total == 30
    assert (await store.find(parse("skipCount()"))).total is None


async def test_all_statuses_come_back_after_a_restart(open_store: OpenStore, clock: FakeClock) -> None:
    store = await open_store()
    tasks = {status: await bring_to(store, clock, status) for status in (*Status,) if status is not Status.NEW}
    tasks[Status.NEW] = (await store.add([draft(clock, delay_ms=5)]))[0]
    before = (await store.find(parse(""))).rows
    store = await open_store()
    assert (await store.find(parse(""))).rows == before
    assert {status: await store.get(task.id) for status, task in tasks.items()} == tasks
    assert [task.id for task in await in_progress(store)] == [tasks[Status.IN_PROGRESS].id]
    assert store.next_due_ms() == tasks[Status.NEW].start_ms


async def test_ids_and_order_go_on_after_a_restart(open_store: OpenStore, clock: FakeClock) -> None:
    store = await open_store()
    first = await add_one(store, clock)
    store = await open_store()
    second = await add_one(store, clock)
    assert second.id > first.id
    assert [task.id for task in await store.claim(2)] == [first.id, second.id]


async def test_somebody_who_waits_is_told_of_a_new_task(store: TaskStore, clock: FakeClock) -> None:
    told = asyncio.Event()
    store.on_change(Change.DUE, told.set)
    await add_one(store, clock)
    await asyncio.wait_for(told.wait(), 10)
    assert store.next_due_ms() == clock()
    assert (await store.status()).due == 1


async def test_functions_are_put_replaced_and_removed_for_good(open_store: OpenStore) -> None:
    store = await open_store()
    function = Function("f", "index.handler", "python3.11", 1, "v1", retry_policy=RetryPolicy(True, ("E",)))
    await store.put_function(function, None)
    await store.put_function(Function("g", "index.handler", "nodejs20.x", 1, "v1", environment={"A": "b"}), None)
    newer = Function("f", "index.handler", "python3.11", 2, "v2")
    await store.put_function(newer, function)
    assert store.function("f") == newer
    await store.remove_function("g")
    store = await open_store()
    assert store.functions() == [newer]
    assert store.function("g") is None
    with pytest.raises(ContractError, match="'g'"):
        await store.remove_function("g")


async def test_a_function_is_removed_once_however_many_try(open_store: OpenStore) -> None:
    store = await open_store()
    await store.put_function(Function("f", "index.handler", "python3.11", 1, "v1"), None)
    results = await asyncio.gather(*(store.remove_function("f") for _ in range(3)), return_exceptions=True)
    assert [isinstance(result, ContractError) for result in results] == [False, True, True]
    store = await open_store()
    assert store.function("f") is None


async def test_of_changes_made_from_the_same_state_one_is_taken(store: TaskStore) -> None:
    first = Function("f", "index.handler", "python3.11", 1, "v1")
    changes = [Function("f", "index.handler", "python3.11", 2, f"v{number}") for number in range(4)]
    await store.put_function(first, None)
    results = await asyncio.gather(*(store.put_function(change, first) for change in changes), return_exceptions=True)
    assert sorted(result is None for result in results) == [False, False, False, True]
    assert all(isinstance(result, FunctionChangedError) for result in results if result is not None)
    assert store.function("f") == changes[results.index(None)]


async def test_a_function_that_is_expected_to_be_new_takes_nobodys_place(store: TaskStore) -> None:
    first = Function("f", "index.handler", "python3.11", 1, "v1")
    await store.put_function(first, None)
    with pytest.raises(FunctionChangedError):
        await store.put_function(Function("f", "other.handler", "python3.11", 2, "v2"), None)
    with pytest.raises(FunctionChangedError):
        await store.put_function(Function("g", "index.handler", "python3.11", 2, "v2"), first)
    assert store.functions() == [first]


async def test_what_is_held_back_is_not_claimed_and_stands_in_nobodys_way(store: TaskStore, clock: FakeClock) -> None:
    held = TaskDraft("held", b"{}", clock(), priority=9)
    await store.add([held] * 20)
    [free] = await store.add([draft(clock)])
    assert [task.id for task in await store.claim(10, {"held", "unknown"})] == [free.id]
    assert await store.claim(10, {"held"}) == []
    assert (await store.status()).due == 20
    assert [task.function_name for task in await store.claim(30)] == ["held"] * 20


async def test_a_task_that_is_held_back_can_be_canceled(store: TaskStore, clock: FakeClock) -> None:
    first, second = await store.add([draft(clock), draft(clock)])
    assert await store.claim(10, {"f"}) == []
    await store.cancel(first.id)
    assert [task.id for task in await store.claim(10)] == [second.id]


async def test_what_a_dead_node_had_in_progress_is_reaped_in_steps(open_store: OpenStore, clock: FakeClock) -> None:
    store = await open_store()
    tasks = await store.add([draft(clock) for _ in range(5)])
    await store.claim(5)
    assert await store.reap(10) == [], "this node lives"
    store = await open_store()
    assert await store.settle([Completed(task.id) for task in tasks]) == [None] * 5, "they are not this node's"
    reaped = await store.reap(3)
    reaped += await store.reap(3)
    assert await store.reap(3) == []
    assert {task.id for task in reaped} == {task.id for task in tasks}
    assert {(task.status, task.error.name if task.error else "") for task in reaped} == {
        (Status.FAILED, ZOMBIE_ERROR_NAME)
    }
    assert [await store.get(task.id) for task in reaped] == reaped


async def test_what_is_reaped_at_once_by_several_is_reaped_once(open_store: OpenStore, clock: FakeClock) -> None:
    store = await open_store()
    tasks = await store.add([draft(clock) for _ in range(5)])
    await store.claim(5)
    store = await open_store()
    given_up = asyncio.create_task(store.reap(1))
    await asyncio.sleep(0)
    given_up.cancel()
    async with asyncio.timeout(10):
        reaped = [task for step in await asyncio.gather(*(store.reap(2) for _ in range(4))) for task in step]
    assert len(reaped) == len({task.id for task in reaped})
    assert {(await store.get(task.id)).status for task in tasks} == {Status.FAILED}
    assert await store.reap(5) == []


async def test_a_reaped_task_is_retried_where_the_policy_covers_zombies(
    open_store: OpenStore, clock: FakeClock
) -> None:
    store = await open_store()
    policy = RetryPolicy(True, (ZOMBIE_ERROR_NAME,))
    await store.put_function(Function("f", "index.handler", "python3.11", 1, "v1", retry_policy=policy), None)
    await add_one(store, clock)
    await store.add_started(TaskDraft("f", b"{}", clock(), direct=True))
    await store.claim(1)
    store = await open_store()
    queued, direct = sorted(await store.reap(10), key=lambda task: task.direct)
    assert (queued.status, direct.status) == (Status.RETRIED, Status.FAILED)
    assert queued.retried_by_task_id is not None
    assert (await store.get(queued.retried_by_task_id)).retry_for_task_ids == (queued.id,)


async def test_a_node_shows_itself_and_is_another_one_after_a_restart(open_store: OpenStore) -> None:
    store = await open_store()
    before = (await store.status()).nodes
    store = await open_store()
    [node] = (await store.status()).nodes
    assert [node.id] != [earlier.id for earlier in before]
    assert len(before) == 1
    assert node.started_ms <= node.beat_ms


async def test_log_lines_are_kept_in_order_and_found_by_time(open_store: OpenStore, clock: FakeClock) -> None:
    store = await open_store()
    task = await add_one(store, clock)
    lines = [LogLine(clock() + n // 2, f"line {n} \u00e9 \U0001f600") for n in range(10)]
    await store.replace_logs(task.id, lines[:6])
    await store.replace_logs(ABSENT, [LogLine(0, "other")])
    await store.claim(1)
    await store.settle([Completed(task.id, tuple(lines[6:]))])
    assert await store.find_logs(task.id, 0, 0, 100) == lines
    assert await store.find_logs(task.id, clock() + 2, 1, 3) == lines[5:8]
    store = await open_store()
    assert await store.find_logs(task.id, 0, 0, 100) == lines


async def ends(store: TaskStore, clock: FakeClock, status: Status) -> None:
    """Has the one task that waits end with ``status``."""
    [task] = (await store.find(parse("status=new"))).rows
    if status is Status.CANCELED:
        await store.cancel(task.id)
        return
    await store.claim(1)
    outcome: dict[Status, Outcome] = {
        Status.COMPLETE: Completed(task.id),
        Status.FAILED: Failed(task.id, ERROR),
        Status.RETRIED: Retried(task.id, ERROR, draft(clock, delay_ms=10_000)),
    }
    await settle_one(store, outcome[status])


@pytest.mark.parametrize("status", [Status.COMPLETE, Status.FAILED, Status.RETRIED, Status.CANCELED])
async def test_all_who_wait_for_a_task_are_given_its_end(store: TaskStore, clock: FakeClock, status: Status) -> None:
    task = await add_one(store, clock)
    waiting = [asyncio.create_task(store.ended(task.id)) for _ in range(3)]
    await asyncio.sleep(0)
    await ends(store, clock, status)
    assert {(each.id, each.status) for each in await asyncio.gather(*waiting)} == {(task.id, status)}


@pytest.mark.parametrize("status", [Status.COMPLETE, Status.FAILED, Status.RETRIED, Status.CANCELED])
async def test_the_end_of_a_task_that_has_ended_is_there_at_once(
    store: TaskStore, clock: FakeClock, status: Status
) -> None:
    task = await bring_to(store, clock, status)
    assert await store.ended(task.id) == await store.get(task.id)


async def test_a_task_that_is_put_back_has_not_ended(store: TaskStore, clock: FakeClock) -> None:
    task = await add_one(store, clock)
    waiting = asyncio.create_task(store.ended(task.id))
    await store.claim(1)
    await store.settle([Requeued(task.id, clock())])
    assert not waiting.done()
    await ends(store, clock, Status.COMPLETE)
    assert (await waiting).status is Status.COMPLETE


async def test_who_stops_waiting_leaves_others_waiting(store: TaskStore, clock: FakeClock) -> None:
    task = await add_one(store, clock)
    patient, other = (asyncio.create_task(store.ended(task.id)) for _ in range(2))
    await asyncio.sleep(0)
    other.cancel()
    await asyncio.gather(other, return_exceptions=True)
    await ends(store, clock, Status.COMPLETE)
    assert (await patient).status is Status.COMPLETE


async def test_nobody_waits_for_a_task_that_is_not_there(store: TaskStore) -> None:
    with pytest.raises(ContractError) as refused:
        await store.ended(ABSENT)
    assert refused.value.kind is RESOURCE_UNKNOWN
