"""The scheduler over a real store, by a clock that moves when the test says so."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from support.clocks import FakeClock

from taskd.model.schedule import ScheduleDraft
from taskd.model.task import Task
from taskd.rql.parser import parse
from taskd.store.base import Change
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore
from taskd.telemetry.metrics import Telemetry
from taskd.triggers.scheduler import Scheduler

MINUTE_MS = 60_000


class Bench:
    """A store, and what becomes of its schedules."""

    def __init__(self, directory: Path) -> None:
        self.clock = FakeClock()
        self.store = EmbeddedStore(StoreSettings(data=str(directory)), self.clock)
        self.made = asyncio.Event()
        self.fatal: list[BaseException] = []
        self.registry = CollectorRegistry()
        self.scheduler = Scheduler(
            self.store, clock=self.clock, on_fatal=self.fatal.append, telemetry=Telemetry(self.registry)
        )

    async def schedule(self, *, delay_ms: int = 0) -> None:
        await self.store.add_schedule(ScheduleDraft("f", b"{}", MINUTE_MS, self.clock() + delay_ms))

    async def tasks(self, count: int) -> list[Task]:
        """The tasks there are, as soon as there are ``count``."""
        async with asyncio.timeout(10):
            while True:
                self.made.clear()
                rows = (await self.store.find(parse("sort(id)&limit(100)"))).rows
                if len(rows) >= count:
                    return rows
                await self.made.wait()


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path / "data")
    await bench.store.start()
    bench.store.on_change(Change.DUE, bench.made.set)
    yield bench
    await bench.scheduler.stop()
    await bench.store.stop()
    assert not bench.fatal


async def test_a_schedule_that_is_added_while_nothing_is_due_is_fired_at_once(bench: Bench) -> None:
    await bench.scheduler.start()
    await bench.schedule()
    [task] = await bench.tasks(1)
    assert task.start_ms == bench.clock()


async def test_a_clock_that_jumps_ahead_is_noticed_and_the_log_says_what_was_skipped(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.schedule()
    await bench.scheduler.start()
    await bench.tasks(1)
    with caplog.at_level(logging.WARNING):
        bench.clock.advance(10 * MINUTE_MS)
        first, second = await bench.tasks(2)
    assert second.start_ms == first.start_ms + MINUTE_MS
    late = f"Schedule {second.schedule_id} (f) was late: 9 later occurrences were skipped, task {second.id}"
    assert [record.getMessage() for record in caplog.records] == [f"{late} stands for them all."]
    assert bench.registry.get_sample_value("taskd_schedules_fired_total") == 2
    assert bench.registry.get_sample_value("taskd_schedule_occurrences_skipped_total") == 9


async def test_a_clock_that_is_set_back_makes_nothing_twice(bench: Bench) -> None:
    await bench.schedule()
    await bench.scheduler.start()
    [first] = await bench.tasks(1)
    bench.clock.advance(-60 * MINUTE_MS)
    await bench.schedule()  # wakes the scheduler, which looks at both
    second = (await bench.tasks(2))[1]
    assert second.start_ms == bench.clock()
    assert second.schedule_id != first.schedule_id


async def test_what_was_missed_before_the_start_is_made_up_for_by_one_task(bench: Bench) -> None:
    await bench.schedule()
    bench.clock.advance(60 * MINUTE_MS + 1)
    await bench.scheduler.start()
    await bench.tasks(1)
    bench.clock.now_ms = bench.store.next_fire_ms() or 0
    assert len(await bench.tasks(2)) == 2


async def test_a_stopped_scheduler_fires_no_more(bench: Bench) -> None:
    await bench.scheduler.start()
    await bench.scheduler.stop()
    await bench.scheduler.stop()
    await bench.schedule()
    assert (await bench.store.find(parse("sort(id)"))).total == 0


async def test_a_scheduler_that_dies_says_so(bench: Bench) -> None:
    await bench.schedule(delay_ms=1)
    told: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
    scheduler = Scheduler(bench.store, clock=lambda: 1 // 0, on_fatal=told.set_result)
    await scheduler.start()
    assert isinstance(await asyncio.wait_for(told, 10), ZeroDivisionError)
    await scheduler.stop()
