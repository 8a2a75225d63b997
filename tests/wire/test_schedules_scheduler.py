"""The scheduler over a real store, by a clock that moves when the test says so."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from support.clocks import FakeClock

from taskd.model.firing import COUNTED_MAX
from taskd.model.schedule import ScheduleDraft
from taskd.model.task import Task
from taskd.rql.parser import parse
from taskd.store.base import Change
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore
from taskd.telemetry.metrics import Telemetry
from taskd.triggers.scheduler import Scheduler

MINUTE_MS = 60_000


class SchedulerHarness:
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
async def harness(tmp_path: Path) -> AsyncIterator[SchedulerHarness]:
    harness = SchedulerHarness(tmp_path / "data")
    await harness.store.start()
    harness.store.on_change(Change.DUE, harness.made.set)
    yield harness
    await harness.scheduler.stop()
    await harness.store.stop()
    assert not harness.fatal


async def test_a_schedule_that_is_added_while_nothing_is_due_is_fired_at_once(harness: SchedulerHarness) -> None:
    await harness.scheduler.start()
    await harness.schedule()
    [task] = await harness.tasks(1)
    assert task.start_ms == harness.clock()


async def test_a_clock_that_jumps_ahead_is_noticed_and_the_log_says_what_was_skipped(
    harness: SchedulerHarness, caplog: pytest.LogCaptureFixture
) -> None:
    await harness.schedule()
    await harness.scheduler.start()
    await harness.tasks(1)
    with caplog.at_level(logging.WARNING):
        harness.clock.advance(10 * MINUTE_MS)
        first, second = await harness.tasks(2)
    assert second.start_ms == first.start_ms + MINUTE_MS
    late = f"Schedule {second.schedule_id} (f) was late: 9 later occurrences were skipped, task {second.id}"
    assert [record.getMessage() for record in caplog.records] == [f"{late} stands for them all."]
    assert harness.registry.get_sample_value("taskd_schedules_fired_total") == 2
    assert harness.registry.get_sample_value("taskd_schedule_occurrences_skipped_total") == 9


async def test_of_very_many_times_of_cron_that_passed_only_some_are_counted(
    harness: SchedulerHarness, caplog: pytest.LogCaptureFixture
) -> None:
    await harness.store.add_schedule(ScheduleDraft("f", b"{}", 0, harness.clock(), cron="* * * * *"))
    harness.clock.advance(10 * 1440 * MINUTE_MS)
    with caplog.at_level(logging.WARNING):
        await harness.scheduler.start()
        await harness.tasks(1)
    assert f"{COUNTED_MAX} or more later occurrences were skipped" in caplog.text
    assert (harness.store.next_fire_ms() or 0) > harness.clock()


async def test_a_clock_that_is_set_back_makes_nothing_twice(harness: SchedulerHarness) -> None:
    await harness.schedule()
    await harness.scheduler.start()
    [first] = await harness.tasks(1)
    harness.clock.advance(-60 * MINUTE_MS)
    await harness.schedule()  # wakes the scheduler, which looks at both
    second = (await harness.tasks(2))[1]
    assert second.start_ms == harness.clock()
    assert second.schedule_id != first.schedule_id


async def test_what_was_missed_before_the_start_is_made_up_for_by_one_task(harness: SchedulerHarness) -> None:
    await harness.schedule()
    harness.clock.advance(60 * MINUTE_MS + 1)
    await harness.scheduler.start()
    await harness.tasks(1)
    harness.clock.now_ms = harness.store.next_fire_ms() or 0
    assert len(await harness.tasks(2)) == 2


async def test_a_stopped_scheduler_fires_no_more(harness: SchedulerHarness) -> None:
    await harness.scheduler.start()
    await harness.scheduler.stop()
    await harness.scheduler.stop()
    await harness.schedule()
    assert (await harness.store.find(parse("sort(id)"))).total == 0


async def test_a_scheduler_that_dies_says_so(harness: SchedulerHarness) -> None:
    await harness.schedule(delay_ms=1)
    told: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
    scheduler = Scheduler(harness.store, clock=lambda: 1 // 0, on_fatal=told.set_result)
    await scheduler.start()
    assert isinstance(await asyncio.wait_for(told, 10), ZeroDivisionError)
    await scheduler.stop()
