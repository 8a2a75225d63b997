"""Whatever is slow, a disk or the functions: the event loop turns, memory stays flat, and so does what each task waits.

The forms here are quick; ``TASKD_IN_FLIGHT=5000`` makes the second the size that it is meant for.
"""

import asyncio
import os
import resource
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.compaction import Ticker
from benchmarks.harness.engine import AWS_ENVIRONMENT, Engine, open_engine
from benchmarks.harness.lambda_stub import running_stub
from benchmarks.harness.populate import add_pending
from benchmarks.harness.processes import resident_bytes
from taskd.model.clock import system_clock_ms

SYNC_S = 0.05
SLOW_DISK_TASKS = 2_000
SLOW_DISK_IN_FLIGHT = 128
IN_FLIGHT = int(os.environ.get("TASKD_IN_FLIGHT", "1500"))
ROUNDS = 3
CALL_S = 0.5
MIB = 1 << 20
STALL_MAX_MS = 250
"""On an idle machine it is some 20; this one may have other things to do."""
GROWTH_MAX_BYTES = 24 * MIB
WAIT_S = 60


class Samples:
    """What was seen in an engine, every few milliseconds, from :meth:`start` to :meth:`stop`."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.in_flight: list[int] = []
        self.asyncio_tasks: list[int] = []
        self.unwritten_bytes: list[int] = []
        self.resident_bytes: list[int] = []
        self.ended: list[int] = []
        self.times_s: list[float] = []
        self._ticker = Ticker()
        self._sampling = asyncio.create_task(self._sample())

    async def _sample(self) -> None:
        while True:
            self.in_flight.append(self.engine.runner.in_flight)
            self.asyncio_tasks.append(len(asyncio.all_tasks()))
            self.unwritten_bytes.append(self.engine.store._commits._unwritten_bytes)
            self.resident_bytes.append(resident_bytes())
            self.ended.append(self.engine.store._commits.state.ended)
            self.times_s.append(time.perf_counter())
            await asyncio.sleep(0.01)

    def stop(self) -> None:
        self._sampling.cancel()
        self.longest_gap_ms = max(self._ticker.stop())

    def ended_per_s(self) -> tuple[float, float]:
        """How many tasks ended per second, in the first and in the second half of them."""
        total, first = self.ended[-1], self.ended[0]
        middle = next(place for place, ended in enumerate(self.ended) if ended - first >= (total - first) // 2)
        took_s = (self.times_s[middle] - self.times_s[0], self.times_s[-1] - self.times_s[middle])
        return (self.ended[middle] - first) / took_s[0], (total - self.ended[middle]) / took_s[1]


async def drained(engine: Engine) -> Samples:
    """Runs all tasks of an engine that has not begun."""
    samples = Samples(engine)
    await engine.runner.start()
    async with asyncio.timeout(WAIT_S):
        await engine.ends.reached
    samples.stop()
    return samples


def middle_third(samples: Sequence[int]) -> Sequence[int]:
    return samples[len(samples) // 3 : len(samples) * 2 // 3]


@pytest.fixture(autouse=True)
def aws_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in AWS_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


async def test_a_slow_disk_makes_each_step_late_and_none_later_than_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fdatasync

    def slow(fd: int) -> None:
        time.sleep(SYNC_S)
        real(fd)

    with running_stub() as url:
        async with open_engine(tmp_path, url, SLOW_DISK_IN_FLIGHT, SLOW_DISK_TASKS) as engine:
            await add_pending(engine.store, SLOW_DISK_TASKS, start_ms=system_clock_ms())
            monkeypatch.setattr(os, "fdatasync", slow)
            samples = await drained(engine)
    assert samples.longest_gap_ms < STALL_MAX_MS
    assert max(samples.in_flight) <= SLOW_DISK_IN_FLIGHT
    assert max(samples.unwritten_bytes) < MIB
    assert max(samples.asyncio_tasks) < SLOW_DISK_IN_FLIGHT
    _, late_per_s = samples.ended_per_s()
    assert late_per_s > SLOW_DISK_IN_FLIGHT / (4 * SYNC_S)


async def test_thousands_of_slow_calls_at_once_take_memory_once(tmp_path: Path) -> None:
    wanted = IN_FLIGHT + 500
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < wanted:
        pytest.skip(f"{wanted} open files are needed here")
    tasks = ROUNDS * IN_FLIGHT
    with running_stub(CALL_S) as url:
        async with open_engine(tmp_path, url, IN_FLIGHT, tasks) as engine:
            await add_pending(engine.store, tasks, start_ms=system_clock_ms())
            samples = await drained(engine)
    assert max(samples.in_flight) == IN_FLIGHT
    assert samples.longest_gap_ms < STALL_MAX_MS
    assert max(samples.asyncio_tasks) < IN_FLIGHT
    assert samples.resident_bytes[-1] - max(middle_third(samples.resident_bytes)) < GROWTH_MAX_BYTES
    early_per_s, late_per_s = samples.ended_per_s()
    assert late_per_s > early_per_s / 2
