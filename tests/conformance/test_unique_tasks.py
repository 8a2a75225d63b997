"""What every store must do with unique keys: one task at a time, for as long as the key says, on whatever happens."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from support.clocks import FakeClock
from support.store.views import complete, settle_one

from taskd.model import limits
from taskd.model.errors import ALREADY_EXISTS, ILLEGAL_STATE, TOO_MANY_REQUESTS, ContractError
from taskd.model.function import Function, RetryPolicy
from taskd.model.idempotency import IdempotencyKey
from taskd.model.retry import successor_of
from taskd.model.schedule import Overlap, ScheduleDraft
from taskd.model.status import Status
from taskd.model.task import ErrorType, Task, TaskDraft, TaskError
from taskd.model.task_extras import OnConflict, TaskExtras, UniqueKey, UniqueRule, WhileKind
from taskd.model.uniqueness import UniqueConflictError
from taskd.rql.parser import parse
from taskd.store.base import Fired, Requeued, Retried, TaskStore, UniqueResult

OpenStore = Callable[[], Awaitable[TaskStore]]
PENDING, ACTIVE = WhileKind.PENDING, WhileKind.ACTIVE
ERROR = TaskError(ErrorType.RUNTIME, "E", "m")
RETRYING = Function("f", "index.handler", "python3.11", 0, "v", retry_policy=RetryPolicy(enabled=True))


def draft(
    clock: FakeClock,
    lasts: WhileKind | int | None = ACTIVE,
    key: str = "k",
    on_conflict: OnConflict = OnConflict.EXISTING,
    **more: Any,
) -> TaskDraft:
    extras = None if lasts is None else TaskExtras(unique=UniqueKey(key, lasts))
    fields = {"function_name": "f", "data": b"{}", "start_ms": clock(), **more}
    return TaskDraft(**fields, extras=extras, on_conflict=on_conflict)


async def ask(store: TaskStore, asked: TaskDraft) -> UniqueResult:
    [result] = await store.add_unique([asked])
    return result


async def made(store: TaskStore, asked: TaskDraft) -> Task:
    result = await ask(store, asked)
    assert not result.conflict
    return result.task


async def total(store: TaskStore) -> int | None:
    return (await store.find(parse(""))).total


async def claimed(store: TaskStore) -> Task:
    [task] = await store.claim(1)
    return task


@pytest.mark.parametrize(
    ("lasts", "kept_out"),
    [
        (PENDING, [True, False, False, False]),
        (ACTIVE, [True, True, False, False]),
        (60, [True, True, True, False]),
    ],
)
async def test_a_key_keeps_others_out_for_as_long_as_it_lasts(
    store: TaskStore, clock: FakeClock, lasts: WhileKind | int, kept_out: list[bool]
) -> None:
    async def wait() -> None: ...

    async def start() -> None:
        await store.claim(9)

    async def end() -> None:
        await complete(store, task)

    async def pass_time() -> None:
        clock.advance(60_000)

    task = await made(store, draft(clock, lasts))
    for step, is_kept_out in zip((wait, start, end, pass_time), kept_out, strict=True):
        await step()
        result = await ask(store, draft(clock, lasts))
        assert result.conflict is is_kept_out, step
        if not is_kept_out:
            break
        assert result.task == await store.get(task.id)
    else:
        pytest.fail("The key lasts for ever.")


async def test_other_keys_other_functions_and_no_keys_are_let_in(store: TaskStore, clock: FakeClock) -> None:
    await made(store, draft(clock))
    await made(store, draft(clock, key="another"))
    await made(store, draft(clock, function_name="g"))
    await made(store, draft(clock, None))
    await store.add([draft(clock, None)])
    assert await total(store) == 5


async def test_a_cancelled_task_gives_its_key_back(store: TaskStore, clock: FakeClock) -> None:
    task = await made(store, draft(clock))
    await store.cancel(task.id)
    await made(store, draft(clock))


async def test_a_requeued_task_has_its_pending_key_again(store: TaskStore, clock: FakeClock) -> None:
    task = await made(store, draft(clock, PENDING))
    await store.claim(1)
    await store.settle([Requeued(task.id, clock() + 5)])
    assert (await ask(store, draft(clock, PENDING))).task.id == task.id


async def test_rejecting_says_who_has_the_key_and_makes_nothing(store: TaskStore, clock: FakeClock) -> None:
    task = await made(store, draft(clock))
    with pytest.raises(UniqueConflictError, match=task.id) as raised:
        await store.add_unique([draft(clock, None), draft(clock, on_conflict=OnConflict.REJECT)])
    assert raised.value.kind is ALREADY_EXISTS
    assert raised.value.place == 1
    assert await total(store) == 1


async def test_a_retry_has_the_key_from_the_failure_on(store: TaskStore, clock: FakeClock) -> None:
    await store.put_function(RETRYING, None)
    task = await made(store, draft(clock))
    running = await claimed(store)
    successor = successor_of(running, RETRYING, ERROR, clock())
    assert successor is not None
    failed = await settle_one(store, Retried(task.id, ERROR, successor))
    result = await ask(store, draft(clock))
    assert result.conflict
    assert result.task.id == failed.retried_by_task_id
    clock.advance(3_000)
    await complete(store, await claimed(store))
    await made(store, draft(clock))


async def test_a_key_for_some_time_stays_with_the_first_task(store: TaskStore, clock: FakeClock) -> None:
    await store.put_function(RETRYING, None)
    task = await made(store, draft(clock, 10))
    successor = successor_of(await claimed(store), RETRYING, ERROR, clock())
    assert successor is not None
    await store.settle([Retried(task.id, ERROR, successor)])
    assert (await ask(store, draft(clock, 10))).task.id == task.id
    clock.advance(10_000)
    await made(store, draft(clock, 10))


async def test_replacing_changes_what_waits_and_where_it_stands(store: TaskStore, clock: FakeClock) -> None:
    first = await made(store, draft(clock, PENDING, created_by_user_id="a", tags=("t",)))
    other = await made(store, draft(clock, None, priority=5))
    new = draft(
        clock,
        PENDING,
        on_conflict=OnConflict.REPLACE,
        data=b'{"n":2}',
        start_ms=clock() + 50,
        priority=9,
        created_by_user_id="b",
    )
    result = await ask(store, new)
    task = result.task
    assert result.conflict
    assert (task.id, task.status, task.data, task.priority) == (first.id, Status.NEW, b'{"n":2}', 9)
    assert (task.start_ms, task.created_by_user_id, task.tags) == (clock() + 50, "b", ("t",))
    assert task == await store.get(first.id) == (await store.find(parse("priority=9"))).rows[0]
    assert [each.id for each in await store.claim(9)] == [other.id]
    assert store.next_due_ms() == clock() + 50
    clock.advance(50)
    assert [(each.id, each.data) for each in await store.claim(9)] == [(first.id, b'{"n":2}')]


async def test_replacing_puts_a_task_before_others(store: TaskStore, clock: FakeClock) -> None:
    later = await made(store, draft(clock, PENDING, start_ms=clock() + 10_000))
    others = [await made(store, draft(clock, None)) for _ in range(3)]
    await ask(store, draft(clock, PENDING, on_conflict=OnConflict.REPLACE, priority=1))
    assert [task.id for task in await store.claim(9)] == [later.id, *(task.id for task in others)]


async def test_what_runs_is_not_replaced(store: TaskStore, clock: FakeClock) -> None:
    task = await made(store, draft(clock))
    await store.claim(1)
    result = await ask(store, draft(clock, on_conflict=OnConflict.REPLACE, data=b'{"n":2}'))
    assert result.conflict
    assert (result.task.id, result.task.data) == (task.id, b"{}")


@pytest.mark.parametrize("sizes", [(3, 5_000), (5_000, 3), (5_000, 5_000)])
async def test_large_data_is_replaced_too(open_store: OpenStore, clock: FakeClock, sizes: tuple[int, int]) -> None:
    store = await open_store()
    before, after = (b'{"a":"%b"}' % (letter * size) for letter, size in zip((b"x", b"y"), sizes, strict=True))
    await made(store, draft(clock, data=before))
    assert (await ask(store, draft(clock, on_conflict=OnConflict.REPLACE, data=after))).task.data == after
    assert [task.data for task in (await store.find(parse(""))).rows] == [after]
    store = await open_store()
    assert (await claimed(store)).data == after


async def test_two_of_a_key_in_one_request_are_one_after_the_other(store: TaskStore, clock: FakeClock) -> None:
    replacing = draft(clock, on_conflict=OnConflict.REPLACE, data=b'{"n":3}', priority=7)
    asked = [draft(clock), draft(clock, None), draft(clock, data=b'{"n":2}'), replacing, draft(clock, key="l")]
    results = await store.add_unique(asked)
    assert [result.conflict for result in results] == [False, False, True, True, False]
    assert results[0].task.id == results[2].task.id == results[3].task.id
    assert (await store.get(results[0].task.id)).data == b'{"n":3}'
    assert {result.task.priority for result in results if result.task.id == results[0].task.id} == {7}
    assert await total(store) == 3
    with pytest.raises(UniqueConflictError) as raised:
        await store.add_unique([draft(clock, key="m"), draft(clock, key="m", on_conflict=OnConflict.REJECT)])
    assert raised.value.place == 1
    assert await total(store) == 3


@pytest.mark.parametrize("on_conflict", [OnConflict.EXISTING, OnConflict.REPLACE])
async def test_of_many_at_once_one_makes_the_task(store: TaskStore, clock: FakeClock, on_conflict: OnConflict) -> None:
    asked = (ask(store, draft(clock, on_conflict=on_conflict, priority=n)) for n in range(20))
    results = await asyncio.gather(*asked)
    assert sorted(result.conflict for result in results) == [False, *[True] * 19]
    assert len({result.task.id for result in results}) == 1
    assert await total(store) == 1
    assert len(await store.claim(9)) == 1


async def test_of_many_that_reject_one_is_let_in(store: TaskStore, clock: FakeClock) -> None:
    asked = (ask(store, draft(clock, on_conflict=OnConflict.REJECT)) for _ in range(20))
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(result, UniqueConflictError) for result in results) == 19
    assert await total(store) == 1


async def test_replacing_starting_and_cancelling_at_once_lose_and_double_nothing(
    store: TaskStore, clock: FakeClock
) -> None:
    for number in range(30):
        task = await made(store, draft(clock, PENDING))
        replacing = draft(clock, PENDING, on_conflict=OnConflict.REPLACE, data=b'{"n":1}')
        results = await asyncio.gather(
            *(ask(store, replacing), store.claim(9), ask(store, replacing), store.cancel(task.id)),
            return_exceptions=True,
        )
        answered = {result.task.id for result in results if isinstance(result, UniqueResult)}
        refused = [result for result in results if isinstance(result, BaseException)]
        assert all(isinstance(error, ContractError) and error.kind is ILLEGAL_STATE for error in refused)
        started = {each.id for result in results if isinstance(result, list) for each in result}
        started |= {each.id for each in await store.claim(9)}
        ended = {each.id for each in (await store.find(parse("status=canceled&limit(100)"))).rows}
        assert answered | {task.id} <= started | ended, number
        assert not started & ended


async def test_a_caller_that_gives_up_leaves_the_key_taken(store: TaskStore, clock: FakeClock) -> None:
    giving_up = asyncio.create_task(store.add_unique([draft(clock)]))
    await asyncio.sleep(0)
    giving_up.cancel()
    result = await ask(store, draft(clock))
    assert giving_up.cancelled()
    assert await total(store) == 1
    assert (await store.get(result.task.id)).status is Status.NEW


@pytest.mark.parametrize("lasts", [PENDING, ACTIVE, 60])
async def test_keys_hold_over_restarts(open_store: OpenStore, clock: FakeClock, lasts: WhileKind | int) -> None:
    store = await open_store()
    task = await made(store, draft(clock, lasts))
    store = await open_store()
    assert (await ask(store, draft(clock, lasts))).task.id == task.id
    assert (await store.get(task.id)).extras == TaskExtras(unique=UniqueKey("k", lasts))


async def test_a_key_for_some_time_outlives_its_task_over_restarts(open_store: OpenStore, clock: FakeClock) -> None:
    store = await open_store()
    task = await made(store, draft(clock, 60))
    await complete(store, await claimed(store))
    clock.advance(59_999)
    store = await open_store()
    result = await ask(store, draft(clock, 60))
    assert (result.task.id, result.task.status, result.conflict) == (task.id, Status.COMPLETE, True)
    clock.advance(1)
    await made(store, draft(clock, 60))


async def test_a_request_sent_again_is_answered_as_before(open_store: OpenStore, clock: FakeClock) -> None:
    key = IdempotencyKey(b"key", b"request")
    store = await open_store()
    there = await made(store, draft(clock))
    asked = [draft(clock, None), draft(clock), draft(clock, key="l"), draft(clock, key="l"), draft(clock, None)]
    first = await store.add_unique(asked, key)
    assert [result.conflict for result in first] == [False, True, False, True, False]
    await store.claim(9)
    await complete(store, there)
    store = await open_store()
    again = await store.add_unique(asked, key)
    assert [(result.task.id, result.conflict) for result in again] == [
        (result.task.id, result.conflict) for result in first
    ]
    assert await total(store) == 4
    with pytest.raises(ContractError, match="new key"):
        await store.add_unique(asked, IdempotencyKey(b"key", b"another request"))


async def test_a_request_of_which_nothing_was_made_is_remembered(store: TaskStore, clock: FakeClock) -> None:
    key = IdempotencyKey(b"key", b"request")
    task = await made(store, draft(clock))
    await store.add_unique([draft(clock)], key)
    await store.cancel(task.id)
    [again] = await store.add_unique([draft(clock)], key)
    assert (again.task.id, again.task.status, again.conflict) == (task.id, Status.CANCELED, True)


async def test_with_one_idempotency_key_at_once_all_get_one_answer(store: TaskStore, clock: FakeClock) -> None:
    key = IdempotencyKey(b"key", b"request")
    results = await asyncio.gather(
        *(store.add_unique([draft(clock, on_conflict=OnConflict.REJECT)], key) for _ in range(10))
    )
    assert {(result.task.id, result.conflict) for [result] in results} == {(results[0][0].task.id, False)}


async def test_so_many_keys_for_some_time_and_no_more(
    store: TaskStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "UNIQUE_KEYS_MAX", 3)
    tasks = [await made(store, draft(clock, 60, key=str(n))) for n in range(3)]
    with pytest.raises(ContractError, match="unique keys") as raised:
        await store.add_unique([draft(clock, 60, key="3")])
    assert raised.value.kind is TOO_MANY_REQUESTS
    assert (await ask(store, draft(clock, 60, key="0"))).conflict
    await made(store, draft(clock, ACTIVE, key="3"))
    await store.claim(9)
    await complete(store, *tasks)
    with pytest.raises(ContractError, match="unique keys"):
        await store.add_unique([draft(clock, 60, key="4")])
    clock.advance(60_000)
    await made(store, draft(clock, 60, key="4"))


async def test_what_is_no_unique_task_takes_any_key(store: TaskStore, clock: FakeClock) -> None:
    """``add`` looks at no keys; of two tasks with one the newest is answered, and then the other."""
    tasks = await store.add([draft(clock), draft(clock)])
    assert (await ask(store, draft(clock))).task.id == tasks[1].id
    await store.cancel(tasks[1].id)
    assert (await ask(store, draft(clock))).task.id == tasks[0].id


def schedule(clock: FakeClock, on_conflict: OnConflict = OnConflict.EXISTING, **more: Any) -> ScheduleDraft:
    rule = UniqueRule("k", ACTIVE, on_conflict)
    return ScheduleDraft("f", b'{"by":"schedule"}', 1000, clock() + 1000, unique=rule, **more)


@pytest.mark.parametrize("on_conflict", OnConflict)
async def test_a_schedule_makes_nothing_while_its_key_is_taken_and_goes_on(
    store: TaskStore, clock: FakeClock, on_conflict: OnConflict
) -> None:
    kept = await store.add_schedule(schedule(clock, on_conflict, remaining=2, priority=3))
    task = await made(store, draft(clock))
    for _ in range(2):
        clock.advance(1000)
        fired = await store.fire(9)
        assert (fired.occurrences, fired.paused, fired.held_back) == ([], [], 1)
    replaced = on_conflict is OnConflict.REPLACE
    now = await store.get(task.id)
    assert (now.data, now.priority, now.start_ms == clock()) == (
        (b'{"by":"schedule"}', 3, True) if replaced else (b"{}", 0, False)
    )
    assert (await store.schedule(kept.id)).remaining == 2
    await complete(store, await claimed(store))
    clock.advance(1000)
    [occurrence] = (await store.fire(9)).occurrences
    assert (await ask(store, draft(clock))).task.id == occurrence.task.id
    assert (await store.schedule(kept.id)).remaining == 1


async def test_of_two_schedules_with_one_key_one_makes_a_task(store: TaskStore, clock: FakeClock) -> None:
    for _ in range(2):
        await store.add_schedule(schedule(clock))
    await store.add_schedule(ScheduleDraft("f", b"{}", 1000, clock() + 1000))
    clock.advance(1000)
    first, second = await store.fire(9), await store.fire(9)
    assert len(first.occurrences + second.occurrences) == 2
    assert first.held_back + second.held_back == 1
    assert await store.fire(9) == Fired([], [])


async def test_a_schedule_and_requests_at_once_make_one_task(store: TaskStore, clock: FakeClock) -> None:
    await store.add_schedule(schedule(clock))
    clock.advance(1000)
    results = await asyncio.gather(ask(store, draft(clock)), store.fire(9), ask(store, draft(clock)))
    assert await total(store) == 1
    assert len([result for result in results if isinstance(result, UniqueResult) and result.conflict]) >= 1


async def test_an_occurrence_that_was_buffered_is_left_out_while_the_key_is_taken(
    store: TaskStore, clock: FakeClock
) -> None:
    kept = await store.add_schedule(schedule(clock, overlap=Overlap.BUFFER_ONE))
    clock.advance(1000)
    [occurrence] = (await store.fire(9)).occurrences
    clock.advance(1000)
    await store.fire(9)
    await store.claim(9)
    await complete(store, occurrence.task)
    await made(store, draft(clock))
    assert (await store.fire(9)).occurrences == []
    assert (await store.schedule(kept.id)).buffered_ms is None


async def test_a_task_that_is_deleted_takes_its_key_along(open_store: OpenStore, clock: FakeClock) -> None:
    store = await open_store()
    task = await made(store, draft(clock, 60))
    await complete(store, await claimed(store))
    assert await store.delete_tasks([task.id]) == 1
    again = await made(store, draft(clock, 60))
    store = await open_store()
    assert (await ask(store, draft(clock, 60))).task.id == again.id


@pytest.mark.parametrize("delay_ms", [0, 500, 100_000])
async def test_what_is_replaced_may_stand_where_it_stood(store: TaskStore, clock: FakeClock, delay_ms: int) -> None:
    place: dict[str, Any] = {"on_conflict": OnConflict.REPLACE, "start_ms": clock() + delay_ms}
    results = [await ask(store, draft(clock, PENDING, data=b'{"n":%d}' % n, **place)) for n in range(40)]
    clock.advance(delay_ms)
    assert [task.id for task in await store.claim(9)] == [results[0].task.id]
    assert await store.claim(9) == []
