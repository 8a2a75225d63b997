"""Start rules in the embedded store where something is in the way: a full disk, and data that is not in memory."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace
from support.clocks import FakeClock

from taskd.model.function import Function
from taskd.model.limits import ZOMBIE_MARGIN_S
from taskd.model.start_rules import Concurrency, StartRules, Throttle
from taskd.model.task import Task, TaskDraft
from taskd.model.task_extras import OnConflict, TaskExtras, UniqueKey, WhileKind
from taskd.rql.parser import parse
from taskd.store.base import Change, Completed, Requeued, StoreUnavailableError
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore
from taskd.store.embedded.stored_data import IN_MEMORY_MAX_BYTES

BY_KEY = StartRules(Concurrency(per_key=1, key="data.k"))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def store(tmp_path: Path, clock: FakeClock) -> AsyncIterator[EmbeddedStore]:
    fatal: list[BaseException] = []
    store = EmbeddedStore(StoreSettings(data=str(tmp_path / "data"), segment_mib=0), clock, fatal.append)
    await store.start()
    yield store
    await store.stop()
    assert not fatal


async def put(store: EmbeddedStore, rules: StartRules | None) -> None:
    function = Function("f", "index.handler", "python3.11", 1, "v", start_rules=rules)
    await store.put_function(function, store.function("f"))


def drafts(*keys: int, pad: int = 0) -> list[TaskDraft]:
    return [TaskDraft("f", b'{"pad":"%b","k":%d}' % (b"x" * pad, key), 0) for key in keys]


async def test_a_start_that_the_disk_refuses_gives_its_place_and_its_time_back(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(store, StartRules(Concurrency(total=1), Throttle(1, 60_000)))
    [task] = await store.add(drafts(1))
    claiming = asyncio.create_task(store.claim(2))
    monkeypatch.setattr(store._journal, "_write", lambda group: OSError(28, "No space left on device"))
    with pytest.raises(StoreUnavailableError):
        await claiming
    executing = asyncio.create_task(store.add_started(drafts(2)[0]))
    with pytest.raises(StoreUnavailableError):
        await executing
    monkeypatch.undo()
    store._journal.full = None
    assert [claimed.id for claimed in await store.claim(2)] == [task.id]


@pytest.mark.parametrize("key", [None, "data.k"])
async def test_the_time_that_a_refused_start_gives_back_is_the_next_ones_at_once(
    store: EmbeddedStore, clock: FakeClock, key: str | None
) -> None:
    """Although that one has been looked at meanwhile, and was to wait until its moment."""
    await put(store, StartRules(throttle=Throttle(1, 60_000, 1, key)))
    refused = await store.add_started(drafts(1)[0])
    [task] = await store.add(drafts(1))
    clock.advance(1)
    assert await store.claim(2) == []
    await store.settle([Requeued(refused.id, clock() + 1_000)])
    assert [claimed.id for claimed in await store.claim(2)] == [task.id]


@pytest.mark.parametrize("restarts", [False, True])
async def test_large_tasks_that_were_there_before_the_rule_are_told_apart_by_their_keys(
    store: EmbeddedStore, restarts: bool
) -> None:
    tasks = await store.add(drafts(1, 1, 2, pad=IN_MEMORY_MAX_BYTES))
    await store.find(parse("limit(1)"))
    told = asyncio.Event()
    store.on_change(Change.DUE, told.set)
    await put(store, BY_KEY)
    if restarts:
        await store.stop()
        await store.start()
    told.clear()
    first = await store.claim(9)
    while len(first) < 2:
        async with asyncio.timeout(30):
            await told.wait()
        told.clear()
        first += await store.claim(9)
    assert [task.id for task in first] == [tasks[0].id, tasks[2].id]
    await store.settle([Completed(first[0].id)])
    assert [task.id for task in await store.claim(9)] == [tasks[1].id]


async def test_a_large_task_that_is_replaced_while_its_key_is_read_waits_under_the_new_one(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    extras, large = TaskExtras(unique=UniqueKey("u", WhileKind.PENDING)), IN_MEMORY_MAX_BYTES
    await store.add_unique([replace(drafts(1, pad=large)[0], extras=extras)])
    reading, go_on = asyncio.Event(), asyncio.Event()
    read = store._large.data_of_all

    async def read_slowly(tasks: Sequence[Task]) -> dict[int, bytes]:
        reading.set()
        found = await read(tasks)
        await go_on.wait()
        return found

    monkeypatch.setattr(store._large, "data_of_all", read_slowly)
    await put(store, BY_KEY)
    running = await store.add_started(drafts(2)[0])
    assert await store.claim(9) == []
    await reading.wait()
    told = asyncio.Event()
    store.on_change(Change.DUE, told.set)
    replacing = replace(drafts(2, pad=large)[0], extras=extras, on_conflict=OnConflict.REPLACE)
    [replaced] = await store.add_unique([replacing])
    told.clear()
    go_on.set()
    async with asyncio.timeout(30):
        await told.wait()
    assert await store.claim(9) == []
    await store.settle([Completed(running.id)])
    assert [task.id for task in await store.claim(9)] == [replaced.task.id]
    await store.settle([Requeued(replaced.task.id, 0)])
    await store.add_started(drafts(1)[0])
    assert [task.id for task in await store.claim(9)] == [replaced.task.id]


@pytest.mark.parametrize("compacts", [False, True])
@pytest.mark.parametrize("key", [None, "data.k"])
async def test_what_has_started_counts_for_the_throttle_after_a_restart(
    store: EmbeddedStore, clock: FakeClock, compacts: bool, key: str | None
) -> None:
    await put(store, StartRules(throttle=Throttle(1, 60_000, 1, key)))
    first, second = await store.add(drafts(1, 1))
    assert [task.id for task in await store.claim(9)] == [first.id]
    await store.settle([Completed(first.id)])
    if compacts:
        await store.compact()
    await store.stop()
    await store.start()
    clock.advance(59_999)
    assert await store.claim(9) == []
    clock.advance(1)
    assert [task.id for task in await store.claim(9)] == [second.id]


@pytest.mark.parametrize("compacts", [False, True])
@pytest.mark.parametrize("rules", [StartRules(Concurrency(total=1)), BY_KEY], ids=["total", "key"])
async def test_a_task_that_a_kill_left_running_keeps_its_place_until_it_can_no_longer_run(
    store: EmbeddedStore, clock: FakeClock, compacts: bool, rules: StartRules
) -> None:
    await put(store, rules)
    first, second = await store.add(drafts(1, 1))
    assert [task.id for task in await store.claim(9)] == [first.id]
    await store.stop()
    await store.start()
    assert [task.id for task in await store.reap(9)] == [first.id]
    if compacts:
        await store.compact()
        await store.stop()
        await store.start()
    function = store.function("f")
    assert function is not None
    clock.advance(int((function.time_limit_s + ZOMBIE_MARGIN_S) * 1000) - 1)
    assert await store.claim(9) == []
    assert store.next_due_ms() == clock() + 1
    clock.advance(1)
    assert [task.id for task in await store.claim(9)] == [second.id]


async def test_when_the_next_of_a_key_is_cancelled_the_one_after_it_has_the_place(store: EmbeddedStore) -> None:
    await put(store, StartRules(Concurrency(per_key=1, key="data.k"), Throttle(1, 60_000, 1, "data.j")))
    first, second, third = await store.add([TaskDraft("f", b'{"k":1,"j":%d}' % j, 0) for j in range(3)])
    assert [task.id for task in await store.claim(9)] == [first.id]
    await store.settle([Completed(first.id)])
    await store.cancel(second.id)
    assert [task.id for task in await store.claim(9)] == [third.id]
