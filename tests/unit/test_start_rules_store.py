"""Start rules in the embedded store where something is in the way: a full disk, and data that is not in memory."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.clocks import FakeClock

from taskd.model.function import Function
from taskd.model.start_rules import Concurrency, StartRules, Throttle
from taskd.model.task import TaskDraft
from taskd.rql.parser import parse
from taskd.store.base import Change, Completed, StoreUnavailableError
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore
from taskd.store.embedded.stored_data import IN_MEMORY_MAX_BYTES

BY_KEY = StartRules(Concurrency(per_key=1, key="data.k"))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[EmbeddedStore]:
    fatal: list[BaseException] = []
    store = EmbeddedStore(StoreSettings(data=str(tmp_path / "data")), FakeClock(), fatal.append)
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
