"""What is over goes when its time has come: held to by every store."""

from collections.abc import Awaitable, Callable

import pytest
from conformance.test_store import bring_to
from support.clocks import FakeClock

from taskd.model.api_request import ApiRequest
from taskd.model.errors import RESOURCE_UNKNOWN, ContractError
from taskd.model.function import Function
from taskd.model.logline import LogLine
from taskd.model.retention import STATUS_OF_KIND, Retention
from taskd.model.status import FINAL, Status
from taskd.model.task import TaskDraft
from taskd.rql.parser import parse
from taskd.store.base import Completed, TaskStore

OpenStore = Callable[[], Awaitable[TaskStore]]
HOUR_MS = 3_600_000
EVERYTHING = Retention(*[HOUR_MS] * 6)


async def pass_over(store: TaskStore, retention: Retention) -> list[int]:
    """Has everything looked at once; how many tasks, API requests and log lines went."""
    counts = [0, 0, 0]
    while True:
        expired = await store.expire(retention)
        for place, count in enumerate((expired.tasks, expired.api_requests, expired.log_lines)):
            counts[place] += count
        if expired.is_last:
            return counts


async def total(store: TaskStore, query: str = "") -> int | None:
    return (await store.find(parse(query))).total


def a_function(name: str, retention: Retention) -> Function:
    return Function(name, "index.handler", "python3.11", 1, "v", retention=retention)


async def completed(store: TaskStore, function: str, *lines: LogLine) -> str:
    task = await store.add_started(TaskDraft(function, b"{}", 0))
    await store.settle([Completed(task.id, lines)])
    return task.id


@pytest.mark.parametrize("kind", STATUS_OF_KIND)
async def test_each_end_has_a_time_of_its_own(open_store: OpenStore, clock: FakeClock, kind: str) -> None:
    store = await open_store()
    tasks = {status: await bring_to(store, clock, status) for status in Status if status in FINAL}
    retention = Retention(**{kind: HOUR_MS})
    clock.advance(HOUR_MS - 1)
    assert await pass_over(store, retention) == [0, 0, 0]
    clock.advance(1)
    assert await pass_over(store, retention) == [1, 0, 0]
    store = await open_store()
    for status, task in tasks.items():
        if status is STATUS_OF_KIND[kind]:
            with pytest.raises(ContractError) as caught:
                await store.get(task.id)
            assert caught.value.kind is RESOURCE_UNKNOWN
        else:
            assert (await store.get(task.id)).status is status


async def test_what_waits_or_runs_stays_however_old_it_is(store: TaskStore, clock: FakeClock) -> None:
    await bring_to(store, clock, Status.IN_PROGRESS)
    await bring_to(store, clock, Status.NEW)
    clock.advance(1_000 * HOUR_MS)
    assert await pass_over(store, EVERYTHING) == [0, 0, 0]
    assert await total(store) == 2


async def test_it_counts_from_the_end_not_from_the_creation(store: TaskStore, clock: FakeClock) -> None:
    task = await store.add_started(TaskDraft("f", b"{}", 0))
    clock.advance(10 * HOUR_MS)
    await store.settle([Completed(task.id)])
    assert await pass_over(store, EVERYTHING) == [0, 0, 0]


async def test_a_functions_own_rule_beats_the_general_one(store: TaskStore, clock: FakeClock) -> None:
    await store.put_function(a_function("short", Retention(complete_ms=HOUR_MS)), None)
    await store.put_function(a_function("long", Retention(complete_ms=100 * HOUR_MS)), None)
    for name in ("short", "long", "usual"):
        await completed(store, name)
    for passed_h, left in ((1, ["long", "usual"]), (9, ["long"]), (90, [])):
        clock.advance(passed_h * HOUR_MS)
        await pass_over(store, Retention(complete_ms=10 * HOUR_MS))
        rows = (await store.find(parse("sort(functionName)"))).rows
        assert [task.function_name for task in rows] == left


async def test_a_functions_own_rule_holds_where_there_is_no_other(store: TaskStore, clock: FakeClock) -> None:
    await store.put_function(a_function("short", Retention(complete_ms=HOUR_MS)), None)
    kept = await completed(store, "usual")
    await completed(store, "short")
    clock.advance(HOUR_MS)
    assert await pass_over(store, Retention()) == [1, 0, 0]
    assert [task.id for task in (await store.find(parse(""))).rows] == [kept]


async def test_log_lines_go_with_their_task(store: TaskStore, clock: FakeClock) -> None:
    task_id = await completed(store, "f", LogLine(clock(), "line"))
    clock.advance(HOUR_MS)
    await pass_over(store, Retention(complete_ms=HOUR_MS))
    assert await store.find_logs(task_id, 0, 0, 9) == []


async def test_log_lines_may_go_before_their_task(store: TaskStore, clock: FakeClock) -> None:
    await store.put_function(a_function("own", Retention(logs_ms=10 * HOUR_MS)), None)
    kept = LogLine(clock() + HOUR_MS, "young")
    usual = await completed(store, "usual", LogLine(clock(), "old"), kept)
    own = await completed(store, "own", LogLine(clock(), "old"))
    clock.advance(HOUR_MS)
    assert await pass_over(store, Retention(logs_ms=HOUR_MS)) == [0, 0, 1]
    assert await store.find_logs(usual, 0, 0, 9) == [kept]
    assert len(await store.find_logs(own, 0, 0, 9)) == 1
    assert await total(store) == 2


async def test_api_requests_go_with_their_lines(store: TaskStore, clock: FakeClock) -> None:
    ids = []
    for _ in range(2):
        ids.append(await store.begin_api_request())
        request = ApiRequest(ids[-1], "f", "GET", "/", clock(), 1, 200, None, None, None)
        await store.end_api_request(request, [LogLine(clock(), "line")])
        clock.advance(HOUR_MS)
    assert await pass_over(store, Retention(api_requests_ms=2 * HOUR_MS)) == [0, 1, 0]
    assert [each.id for each in (await store.find_api_requests(parse(""))).rows] == ids[1:]
    assert [len(await store.find_logs(each, 0, 0, 9)) for each in ids] == [0, 1]


async def test_many_go_bit_by_bit_and_totals_know(store: TaskStore, clock: FakeClock) -> None:
    """Those that are kept stand among them, and are older."""
    await store.put_function(a_function("kept", Retention(complete_ms=1_000 * HOUR_MS)), None)
    for _ in range(3):
        for name in ("kept", "f"):
            await store.add([TaskDraft(name, b"{}", 0) for _ in range(400)])
        while claimed := await store.claim(1_000):
            await store.settle([Completed(task.id) for task in claimed])
        clock.advance(HOUR_MS)
    assert await pass_over(store, Retention(complete_ms=2 * HOUR_MS)) == [800, 0, 0]
    assert await total(store, "status=complete") == 1_600
    assert await total(store, "functionName=f&limit(1)") == 400
    assert await pass_over(store, Retention(complete_ms=2 * HOUR_MS)) == [0, 0, 0]
