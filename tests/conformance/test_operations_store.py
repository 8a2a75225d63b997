"""Operations in bulk, on every store: what matches is fixed, each task is decided at its turn, nothing twice."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from support.clocks import FakeClock

from taskd.model import limits
from taskd.model.errors import (
    ILLEGAL_ARGUMENT,
    ILLEGAL_STATE,
    INVALID_RQL,
    RESOURCE_UNKNOWN,
    TOO_MANY_REQUESTS,
    ContractError,
)
from taskd.model.idempotency import IdempotencyKey
from taskd.model.logline import LogLine
from taskd.model.operation import Operation, OperationAction, OperationDraft, OperationStatus
from taskd.model.status import Status
from taskd.model.task import ErrorType, Task, TaskDraft, TaskError
from taskd.model.task_extras import TaskExtras, UniqueKey, WhileKind
from taskd.rql.parser import parse, parse_filter
from taskd.store.base import Change, Completed, Failed, Retried, TaskStore

OpenStore = Callable[[], Awaitable[TaskStore]]
CANCEL, REPLAY, DELETE = OperationAction.CANCEL, OperationAction.REPLAY, OperationAction.DELETE
ERASE = OperationAction.ERASE
ERROR = TaskError(ErrorType.RUNTIME, "E", "m")


async def add(store: TaskStore, count: int, function_name: str = "f", data: bytes = b"{}") -> list[Task]:
    return await store.add([TaskDraft(function_name, data, store.now_ms()) for _ in range(count)])


async def fail_all(store: TaskStore) -> list[Task]:
    claimed = await store.claim(100)
    return [task for task in await store.settle([Failed(each.id, ERROR) for each in claimed]) if task is not None]


async def operate(
    store: TaskStore, action: OperationAction, rql: str, *, key: IdempotencyKey | None = None, **more: object
) -> Operation:
    draft = OperationDraft(action, rql, key=key, **more)  # type: ignore[arg-type]
    where = parse_filter(rql)
    assert where is not None
    return await store.add_operation(draft, where)


async def finish(store: TaskStore, operation: Operation, limit: int = 2) -> Operation:
    while await store.advance_operations(limit):
        pass
    return await store.operation(operation.id)


async def replays_of(store: TaskStore, *olds: Task) -> list[Task]:
    return (await store.find(parse(f"in(replayOfTaskId,{','.join(old.id for old in olds)})&limit(100)"))).rows


def progress(operation: Operation) -> tuple[str, int, int, int]:
    return operation.status.value, operation.matched, operation.done, operation.skipped


async def test_what_waits_and_matches_is_cancelled(open_store: OpenStore) -> None:
    store = await open_store()
    tasks = await add(store, 5)
    others = await add(store, 2, "g")
    operation = await operate(store, CANCEL, "functionName=f")
    assert progress(operation) == ("running", 5, 0, 0)
    [advanced] = await store.advance_operations(2)
    assert progress(advanced) == ("running", 5, 2, 0)
    assert [(await store.get(task.id)).status.value for task in tasks] == ["canceled"] * 2 + ["new"] * 3
    store = await open_store()
    assert await store.operation(operation.id) == advanced
    assert progress(await finish(store, operation)) == ("done", 5, 5, 0)
    assert {(await store.get(task.id)).status for task in tasks} == {Status.CANCELED}
    assert {(await store.get(task.id)).status for task in others} == {Status.NEW}
    assert [task.function_name for task in await store.claim(10)] == ["g", "g"]
    store = await open_store()
    assert progress(await store.operation(operation.id)) == ("done", 5, 5, 0)
    assert await store.advance_operations(10) == []


async def test_what_matched_at_first_has_its_turn_and_nothing_else_has(store: TaskStore) -> None:
    tasks = await add(store, 4)
    operation = await operate(store, CANCEL, "status=new")
    later = await add(store, 2)
    [started] = await store.claim(1)
    await store.cancel(tasks[1].id)
    assert progress(await finish(store, operation)) == ("done", 4, 2, 2)
    assert (await store.get(started.id)).status is Status.IN_PROGRESS
    assert {(await store.get(task.id)).status for task in later} == {Status.NEW}


async def test_ended_tasks_are_replayed_in_their_order_and_linked_both_ways(open_store: OpenStore) -> None:
    store = await open_store()
    draft = TaskDraft("f", b'{"n":1}', store.now_ms(), 7, ("a", "b"), "u" * 24, schedule_id="5" * 24)
    olds = await store.add([draft, draft, draft])
    await fail_all(store)
    operation = await operate(store, REPLAY, "status=failed", created_by_user_id="c" * 24)
    assert progress(await finish(store, operation)) == ("done", 3, 3, 0)
    replays = await replays_of(store, *olds)
    assert [new.extras.replay_of_task_id for new in replays if new.extras] == [old.id for old in olds]
    assert [(await store.get(old.id)).extras for old in olds] == [
        replays[0].extras and type(replays[0].extras)(replayed_by_task_id=new.id) for new in replays
    ]
    for new in replays:
        assert (new.function_name, new.data, new.priority, new.tags) == ("f", b'{"n":1}', 7, ("a", "b"))
        assert (new.created_by_user_id, new.schedule_id, new.status) == ("c" * 24, None, Status.NEW)
    store = await open_store()
    assert await replays_of(store, *olds) == replays
    assert [task.id for task in await store.claim(10)] == [task.id for task in replays]
    assert [each.id for each in (await store.find(parse(f"replayedByTaskId={replays[1].id}"))).rows] == [olds[1].id]


async def test_a_replay_takes_what_it_is_given_in_place_of_the_old(store: TaskStore, clock: FakeClock) -> None:
    [old] = await add(store, 1, data=b'{"old":true}')
    await fail_all(store)
    start_ms = clock() + 60_000
    operation = await operate(store, REPLAY, f"id={old.id}", data=b'{"n":2}', priority=-3, start_ms=start_ms)
    assert operation.data == b'{"n":2}'
    assert (await finish(store, operation)).data is None, "it is wanted no more"
    [new] = await replays_of(store, old)
    assert (new.data, new.priority, new.start_ms) == (b'{"n":2}', -3, start_ms)


@pytest.mark.parametrize("size", [2_000, 3 << 20])
async def test_large_data_of_ended_tasks_is_replayed(store: TaskStore, size: int) -> None:
    datas = [b'{"a":"%b"}' % (b"%d" % number * size) for number in range(3)]
    olds = await store.add([TaskDraft("f", data, store.now_ms()) for data in datas])
    await fail_all(store)
    assert progress(await finish(store, await operate(store, REPLAY, "functionName=f"), 100)) == ("done", 3, 3, 0)
    await store.claim(10)
    assert [(await store.get(new.id)).data for new in await replays_of(store, *olds)] == datas


async def test_a_task_is_replayed_as_often_as_asked_and_knows_the_newest(store: TaskStore) -> None:
    [old] = await add(store, 1)
    await fail_all(store)
    for _ in range(2):
        await finish(store, await operate(store, REPLAY, f"id={old.id}"))
    first, second = await replays_of(store, old)
    extras = (await store.get(old.id)).extras
    assert extras is not None
    assert extras.replayed_by_task_id == second.id
    assert first.id < second.id


async def test_a_replay_can_be_replayed_and_keeps_both_of_its_links(store: TaskStore) -> None:
    [old] = await add(store, 1)
    await fail_all(store)
    await finish(store, await operate(store, REPLAY, f"id={old.id}"))
    [first] = await replays_of(store, old)
    await fail_all(store)
    await finish(store, await operate(store, REPLAY, f"id={first.id}"))
    [second] = await replays_of(store, first)
    extras = (await store.get(first.id)).extras
    assert extras is not None
    assert (extras.replay_of_task_id, extras.replayed_by_task_id) == (old.id, second.id)


async def test_only_what_has_ended_is_replayed(store: TaskStore) -> None:
    tasks = await add(store, 3)
    await store.claim(1)
    await store.cancel(tasks[1].id)
    operation = await operate(store, REPLAY, "functionName=f")
    assert progress(await finish(store, operation)) == ("done", 3, 1, 2)
    assert len(await replays_of(store, *tasks)) == 1


async def test_what_has_ended_is_deleted_with_its_log_lines(open_store: OpenStore) -> None:
    store = await open_store()
    tasks = await add(store, 5)
    claimed = await store.claim(4)
    await store.settle([Completed(task.id, (LogLine(1, "x"),)) for task in claimed[:3]])
    operation = await operate(store, DELETE, "functionName=f")
    assert await store.delete_tasks([tasks[1].id]) == 1
    assert progress(await finish(store, operation)) == ("done", 5, 2, 3)
    store = await open_store()
    left = (await store.find(parse("functionName=f"))).rows
    assert [task.id for task in left] == [tasks[3].id, tasks[4].id]
    assert [await store.find_logs(task.id, 0, 0, 10) for task in tasks] == [[]] * 5


async def test_what_waits_is_cancelled_and_all_is_erased_with_its_retries(open_store: OpenStore) -> None:
    store = await open_store()
    draft = TaskDraft("f", b'{"p":"x"}', store.now_ms(), tags=("mine",))
    first, _ = await store.add([draft, draft])
    [claimed] = await store.claim(1)
    retry = TaskDraft("f", b'{"p":"x"}', store.now_ms(), retry_for_task_ids=(first.id,))
    [retried] = await store.settle([Retried(claimed.id, ERROR, retry)])
    [kept] = await add(store, 1)
    operation = await operate(store, ERASE, "tags=mine")
    assert (operation.rql, progress(operation)) == ("tags=mine", ("running", 2, 0, 0))
    store = await open_store()
    ended = await finish(store, operation)
    assert progress(ended) == ("done", 2, 2, 0)
    assert ended.rql.startswith("sha256:")
    assert retried is not None
    assert [task.id for task in (await store.find(parse(""))).rows] == [kept.id]
    assert [task.id for task in await store.claim(10)] == [kept.id], "nothing else waits"
    store = await open_store()
    assert (await store.operation(operation.id)).rql == ended.rql


async def test_an_erasure_takes_along_what_another_operation_replayed_meanwhile_and_no_replay_before(
    store: TaskStore,
) -> None:
    await add(store, 1)
    await fail_all(store)
    before = await operate(store, REPLAY, "status=failed")
    await finish(store, before)
    [earlier] = await store.claim(1)
    await store.settle([Completed(earlier.id)])
    again = await operate(store, REPLAY, "status=failed")
    erasure = await operate(store, ERASE, "status=failed")
    await store.advance_operations(1)
    await finish(store, again)
    await finish(store, erasure)
    assert [task.id for task in (await store.find(parse(""))).rows] == [earlier.id]
    assert (await store.operation(erasure.id)).status == "done"
    assert await store.claim(1) == []


async def test_an_erasure_waits_for_what_has_begun_to_run_and_says_so(store: TaskStore) -> None:
    tasks = await add(store, 2)
    operation = await operate(store, ERASE, "functionName=f")
    await store.claim(1)
    assert await store.advance_operations(10) == []
    assert f"Task {tasks[0].id} runs" in ((await store.operation(operation.id)).wait_reason or "")
    await store.settle([Completed(tasks[0].id)])
    ended = await finish(store, operation)
    assert (ended.status, ended.position, ended.wait_reason) == ("done", 2, None)
    assert (await store.find(parse(""))).rows == []


@pytest.mark.parametrize("matches", [0, 1])
async def test_a_filter_of_an_erasure_is_forgotten_whatever_becomes_of_it(store: TaskStore, matches: int) -> None:
    await add(store, matches)
    done, aborted, failed = [await operate(store, ERASE, "functionName=f") for _ in range(3)]
    await store.abort_operation(aborted.id)
    await store.advance_operations(10, lambda each: "no" if each.id == failed.id else None)
    await finish(store, done)
    for operation, status in ((done, "done"), (aborted, "aborted"), (failed, "failed")):
        ended = await store.operation(operation.id)
        assert (ended.status, ended.rql[:7]) == (status, "sha256:")


async def test_a_replay_of_a_deleted_task_is_skipped(store: TaskStore) -> None:
    await add(store, 3)
    [first, *_] = await fail_all(store)
    operation = await operate(store, REPLAY, "status=failed")
    await store.delete_tasks([first.id])
    assert progress(await finish(store, operation)) == ("done", 3, 2, 1)


@pytest.mark.parametrize("lasts", [WhileKind.PENDING, WhileKind.ACTIVE])
async def test_replays_of_one_unique_key_are_one_at_a_time(store: TaskStore, lasts: WhileKind) -> None:
    draft = TaskDraft("f", b"{}", store.now_ms(), extras=TaskExtras(unique=UniqueKey("k", lasts)))
    for _ in range(3):
        await store.add_unique([draft])
        await fail_all(store)
    await add(store, 1)
    await fail_all(store)
    operation = await operate(store, REPLAY, "status=failed")
    assert progress(await finish(store, operation, 10)) == ("done", 4, 2, 2)
    [again] = await store.add_unique([draft])
    assert again.conflict
    assert again.task.extras is not None
    assert again.task.extras.replay_of_task_id is not None
    operation = await operate(store, REPLAY, "status=failed")
    assert progress(await finish(store, operation, 10)) == ("done", 4, 1, 3)


async def test_a_replay_does_not_have_a_key_that_counts_from_the_old_ones_creation(store: TaskStore) -> None:
    draft = TaskDraft("f", b"{}", store.now_ms(), extras=TaskExtras(unique=UniqueKey("k", 60)))
    [made] = await store.add_unique([draft])
    await fail_all(store)
    assert progress(await finish(store, await operate(store, REPLAY, "status=failed"))) == ("done", 1, 1, 0)
    [replay] = await replays_of(store, made.task)
    assert replay.extras == TaskExtras(replay_of_task_id=made.task.id)


async def test_a_replay_never_matches_what_it_made_itself(store: TaskStore) -> None:
    await add(store, 3)
    await fail_all(store)
    operation = await operate(store, REPLAY, "functionName=f")
    while await store.advance_operations(1):
        await fail_all(store)
    assert progress(await store.operation(operation.id)) == ("done", 3, 3, 0)
    assert (await store.find(parse("functionName=f"))).total == 6


async def test_an_operation_that_nothing_matches_is_done_at_once(store: TaskStore) -> None:
    operation = await operate(store, CANCEL, "functionName=none")
    assert progress(operation) == ("done", 0, 0, 0)
    assert store.next_operation_ms() is None
    assert await store.advance_operations(10) == []


async def test_a_filter_that_makes_no_sense_is_refused_and_leaves_nothing(store: TaskStore) -> None:
    with pytest.raises(ContractError) as refused:
        await operate(store, CANCEL, "startTimestamp=never")
    assert refused.value.kind is INVALID_RQL
    assert (await store.find_operations(parse(""))).rows == []


async def test_an_operation_keeps_to_its_rate_over_restarts(open_store: OpenStore, clock: FakeClock) -> None:
    store = await open_store()
    await add(store, 7)
    operation = await operate(store, CANCEL, "status=new", rate_per_s=20)
    [advanced] = await store.advance_operations(100)
    assert progress(advanced) == ("running", 7, 2, 0), "a tenth of a second's worth"
    store = await open_store()
    assert store.next_operation_ms() == clock() + 100
    assert await store.advance_operations(100) == []
    clock.advance(99)
    assert await store.advance_operations(100) == []
    clock.advance(1)
    assert [progress(each) for each in await store.advance_operations(100)] == [("running", 7, 4, 0)]
    clock.advance(-3_600_000)
    assert [progress(each) for each in await store.advance_operations(100)] == [("running", 7, 6, 0)], "set back"
    clock.advance(100)
    assert progress(await finish(store, operation)) == ("done", 7, 7, 0)


async def test_a_slow_rate_waits_for_seconds(store: TaskStore, clock: FakeClock) -> None:
    await add(store, 2)
    await operate(store, CANCEL, "status=new", rate_per_s=0.1)
    [advanced] = await store.advance_operations(100)
    assert advanced.done == 1
    assert store.next_operation_ms() == clock() + 10_000


async def test_an_aborted_operation_stays_where_it_is(open_store: OpenStore, clock: FakeClock) -> None:
    store = await open_store()
    await add(store, 4)
    operation = await operate(store, CANCEL, "status=new")
    await store.advance_operations(1)
    clock.advance(5)
    aborted = await store.abort_operation(operation.id)
    assert progress(aborted) == ("aborted", 4, 1, 0)
    assert aborted.update_ms == clock()
    store = await open_store()
    assert await store.advance_operations(10) == []
    assert await store.operation(operation.id) == aborted
    with pytest.raises(ContractError) as refused:
        await store.abort_operation(operation.id)
    assert refused.value.kind is ILLEGAL_STATE


async def test_an_unknown_operation_is_unknown(store: TaskStore) -> None:
    for verb in (store.operation, store.abort_operation):
        with pytest.raises(ContractError) as refused:
            await verb("0" * 24)
        assert refused.value.kind is RESOURCE_UNKNOWN


async def test_an_operation_that_there_is_an_objection_to_fails(store: TaskStore) -> None:
    await add(store, 2)
    await operate(store, CANCEL, "status=new")
    [failed] = await store.advance_operations(10, lambda operation: f"no {operation.action}")
    assert (progress(failed), failed.error) == (("failed", 2, 0, 0), "no cancel")
    assert store.next_operation_ms() is None
    assert (await store.find(parse("status=new"))).total == 2


async def test_several_operations_go_on_together(store: TaskStore) -> None:
    await add(store, 2, "f")
    await add(store, 2, "g")
    await operate(store, CANCEL, "functionName=f")
    await operate(store, CANCEL, "functionName=g")
    assert [each.done for each in await store.advance_operations(1)] == [1, 1]
    assert {each.status for each in await store.advance_operations(1)} == {OperationStatus.DONE}


async def test_two_operations_on_the_same_tasks_cancel_each_once(store: TaskStore) -> None:
    await add(store, 6)
    both = [await operate(store, CANCEL, "status=new") for _ in range(2)]
    await asyncio.gather(*(store.advance_operations(3) for _ in range(4)))
    ended = [await finish(store, operation) for operation in both]
    assert sum(each.done for each in ended) == sum(each.skipped for each in ended) == 6


async def test_an_operation_that_is_asked_for_again_with_its_key_is_the_same(
    open_store: OpenStore, clock: FakeClock
) -> None:
    store = await open_store()
    await add(store, 1)
    await fail_all(store)
    key = IdempotencyKey(b"k", b"this request")
    first = await operate(store, REPLAY, "status=failed", key=key)
    assert await operate(store, REPLAY, "status=failed", key=key) == first
    done = await finish(store, first)
    store = await open_store()
    assert await operate(store, REPLAY, "status=failed", key=key) == done
    with pytest.raises(ContractError) as refused:
        await operate(store, REPLAY, "status=failed", key=IdempotencyKey(b"k", b"another"))
    assert refused.value.kind is ILLEGAL_ARGUMENT
    assert (await store.find(parse("status=new"))).total == 1
    clock.advance(limits.IDEMPOTENCY_KEY_TTL_MS + 1)
    assert (await operate(store, REPLAY, "status=failed", key=key)).id != first.id


async def test_calls_at_the_same_time_with_one_key_make_one_operation(store: TaskStore) -> None:
    await add(store, 1)
    key = IdempotencyKey(b"k", b"r")
    made = await asyncio.gather(*(operate(store, CANCEL, "status=new", key=key) for _ in range(5)))
    assert len({operation.id for operation in made}) == 1


async def test_only_so_many_run_at_once(store: TaskStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "OPERATIONS_RUNNING_MAX", 2)
    await add(store, 1)
    first = await operate(store, CANCEL, "status=new")
    await operate(store, CANCEL, "status=new")
    with pytest.raises(ContractError) as refused:
        await operate(store, CANCEL, "status=new")
    assert refused.value.kind is TOO_MANY_REQUESTS
    await store.abort_operation(first.id)
    await operate(store, CANCEL, "status=new")


async def test_operations_that_ended_are_forgotten_when_they_are_many_or_old(
    open_store: OpenStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "OPERATIONS_KEPT", 3)
    store = await open_store()
    await add(store, 1)
    running = await operate(store, CANCEL, "status=new")
    made = [await operate(store, CANCEL, "functionName=none") for _ in range(6)]
    await operate(store, CANCEL, "functionName=none")
    kept = (await store.find_operations(parse(""))).rows
    assert made[0] not in kept
    assert made[-1] in kept
    assert running in kept
    clock.advance(limits.OPERATIONS_KEPT_MS + 1)
    newest = await operate(store, CANCEL, "functionName=none")
    store = await open_store()
    assert (await store.find_operations(parse(""))).rows == [running, newest]


async def test_operations_are_found_by_their_fields(store: TaskStore, clock: FakeClock) -> None:
    await add(store, 2)
    running = await operate(store, CANCEL, "status=new", created_by_user_id="a" * 24)
    clock.advance(10)
    done = await operate(store, REPLAY, "status=failed", priority=3)
    for rql, expected in {
        "": [running, done],
        "sort(-creationTimestamp)": [done, running],
        "status=running": [running],
        "action=replay&priority=3": [done],
        f"createdByUserId={'a' * 24}": [running],
        "gt(matched,1)": [running],
        "limit(1)": [running],
        "contains(waitReason)": [],
    }.items():
        assert (await store.find_operations(parse(rql))).rows == expected, rql
    assert (await store.find_operations(parse("limit(1)"))).total == 2
    with pytest.raises(ContractError) as refused:
        await store.find_operations(parse("creationTimestamp=never"))
    assert refused.value.kind is INVALID_RQL


async def test_who_waits_for_operations_is_told(store: TaskStore) -> None:
    told = asyncio.Event()
    store.on_change(Change.OPERATIONS, told.set)
    await add(store, 1)
    await operate(store, CANCEL, "status=new")
    await asyncio.wait_for(told.wait(), 10)


async def test_a_task_that_is_being_waited_for_has_ended_when_it_is_cancelled_in_bulk(store: TaskStore) -> None:
    [task] = await add(store, 1)
    waiting = asyncio.create_task(store.ended(task.id))
    await asyncio.sleep(0)
    await finish(store, await operate(store, CANCEL, "status=new"))
    assert (await asyncio.wait_for(waiting, 10)).status is Status.CANCELED


async def test_a_running_task_is_settled_by_its_node_whatever_operations_do(store: TaskStore) -> None:
    [task] = await add(store, 1)
    await store.claim(1)
    await finish(store, await operate(store, CANCEL, "functionName=f"))
    [settled] = await store.settle([Completed(task.id)])
    assert settled is not None
    assert settled.status is Status.COMPLETE
