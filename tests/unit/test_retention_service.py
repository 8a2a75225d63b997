"""When retention looks, and when it does not."""

import asyncio

from support.clocks import FakeClock
from support.store.memory_store import MemoryStore, SharedRecords

from taskd.maintenance.retention import RetentionService
from taskd.model.event import EventDraft
from taskd.model.function import Function
from taskd.model.retention import Retention
from taskd.model.task import TaskDraft
from taskd.rql.parser import parse
from taskd.store.base import Completed, Expired, StoreUnavailableError

HOUR_MS = 3_600_000


class WatchedStore(MemoryStore):
    """Counts how often it is looked through, and may be out of order for a while."""

    def __init__(self, shared: SharedRecords) -> None:
        super().__init__(shared)
        self.records = shared
        self.looks = 0
        self.is_broken = False

    async def expire(self, retention: Retention) -> Expired:
        self.looks += 1
        if self.is_broken:
            raise StoreUnavailableError("for a while")
        return await super().expire(retention)


async def with_an_ended_task(clock: FakeClock) -> WatchedStore:
    store = WatchedStore(SharedRecords(clock))
    await store.start()
    task = await store.add_started(TaskDraft("f", b"{}", 0))
    await store.settle([Completed(task.id)])
    clock.advance(HOUR_MS)
    return store


async def test_it_removes_what_is_over_and_rests_before_it_looks_again() -> None:
    clock = FakeClock()
    store = await with_an_ended_task(clock)
    service = RetentionService(store, Retention(complete_ms=HOUR_MS))
    rest_until_ms = clock() + 60_000
    for moved_ms, looks in ((0, 1), (59_999, 1), (1, 2), (-100 * HOUR_MS, 3), (0, 3)):
        clock.advance(moved_ms)
        await service._step()
        assert store.looks == looks, moved_ms
    assert not store.records.tasks
    assert rest_until_ms > clock()


async def test_it_runs_until_it_is_stopped() -> None:
    store = await with_an_ended_task(FakeClock())
    service = RetentionService(store, Retention(complete_ms=HOUR_MS))
    await service.start()
    async with asyncio.timeout(10):
        while store.records.tasks:
            await asyncio.sleep(0)
    await service.stop()
    await service.stop()
    assert store.looks == 1


async def test_without_any_rule_nothing_is_looked_at() -> None:
    store = await with_an_ended_task(FakeClock())
    service = RetentionService(store, Retention())
    await service._step()
    assert (len(store.records.tasks), store.looks) == (1, 0)
    await store.put_function(Function("f", "i.h", "python3.11", 1, "v", retention=Retention(complete_ms=1)), None)
    await asyncio.sleep(0)  # its view catches up
    await service._step()
    assert (len(store.records.tasks), store.looks) == (0, 1)


async def test_events_go_by_their_age_a_few_at_once_and_before_all_else() -> None:
    clock = FakeClock()
    store = await with_an_ended_task(clock)
    for _ in range(501):
        await store.publish(EventDraft("old"))
    clock.advance(HOUR_MS - 1)
    young = await store.publish(EventDraft("young"))
    service = RetentionService(store, Retention(events_ms=HOUR_MS))
    for moved_ms, kept, looks in ((0, 502, 1), (60_000, 2, 1), (0, 1, 1), (0, 1, 2)):
        clock.advance(moved_ms)
        await service._step()
        assert ((await store.find_events(parse(""))).total, store.looks) == (kept, looks)
    assert (await store.find_events(parse(""))).rows == [young]
    assert store.records.tasks


async def test_a_store_that_is_unavailable_is_looked_at_later() -> None:
    store = await with_an_ended_task(FakeClock())
    service = RetentionService(store, Retention(complete_ms=HOUR_MS))
    store.is_broken = True
    await service._step()
    store.is_broken = False
    await service._step()
    assert not store.records.tasks
