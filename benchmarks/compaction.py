"""How long the event loop stands still while a long journal is compacted, and when an hour's tasks fall due at once.

A ticker asks to be called every millisecond; a gap is how much later than that it was. The yardstick is the same
ticker on the same store with nothing going on.
"""

import asyncio
import os
import time
from collections.abc import Awaitable
from functools import partial
from pathlib import Path

import click
import uvloop

from benchmarks.harness.engine import open_store
from benchmarks.harness.harness import Harness, benchmark_options, size
from benchmarks.harness.populate import HOUR_MS, add_pending
from benchmarks.harness.processes import elapsed, in_fresh_process
from benchmarks.harness.study import Comparison, Figures, Study, Subject, percentiles
from taskd.model.clock import system_clock_ms
from taskd.store.base import Requeued
from taskd.store.embedded.store import EmbeddedStore

QUICK = {"tasks": 12_000, "rest_s": 0.1, "claimed": 1_000}
_TICK_S = 0.001
_SEGMENT_MIB = 1
"""Small segments, so that nearly all of the journal is sealed when it is compacted."""
_TASKS_OF_A_SEGMENT = 8_000
"""Enough to fill one."""
_CLAIMED_AT_ONCE = 256


class Ticker:
    """Notes how late it is called."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._due_s = 0.0
        self._handle: asyncio.TimerHandle
        self.gaps_ms: list[float] = []
        self._wait()

    def stop(self) -> list[float]:
        """The gaps, in milliseconds; one that has not ended yet counts as well."""
        self._handle.cancel()
        self._note()
        return self.gaps_ms

    def _wait(self) -> None:
        # not the loop's own clock, which stands still while the loop does
        self._due_s = time.perf_counter() + _TICK_S
        self._handle = self._loop.call_later(_TICK_S, self._tick)

    def _tick(self) -> None:
        self._note()
        self._wait()

    def _note(self) -> None:
        self.gaps_ms.append(max(0.0, time.perf_counter() - self._due_s) * 1000)


class SetClock:
    """The system's clock, set forward by ``ahead_ms``."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def __call__(self) -> int:
        """Milliseconds since the epoch."""
        return system_clock_ms() + self.ahead_ms


def fill(folder: Path, tasks: int) -> None:
    """Leaves a data directory with ``tasks`` waiting tasks in a snapshot, which start within an hour from one on.

    All of it is on the disk then: bringing it there later would take a processor away for tens of milliseconds.
    """
    uvloop.run(_fill(folder, tasks))
    os.sync()


async def _fill(folder: Path, tasks: int) -> None:
    async with open_store(folder, _SEGMENT_MIB) as store:
        await add_pending(store, tasks, start_ms=system_clock_ms() + HOUR_MS, spread_ms=HOUR_MS)
        await store.compact()


def at_rest(folder: Path, rest_s: float) -> Figures:
    """The gaps of a store that nobody wants anything of."""
    return uvloop.run(_at_rest(folder, rest_s))


async def _at_rest(folder: Path, rest_s: float) -> Figures:
    async with open_store(folder, _SEGMENT_MIB):
        return await _gaps_during(asyncio.sleep(rest_s))


def falling_due(folder: Path, claimed: int) -> Figures:
    """The gaps of a store whose clock is set forward, so that all is due, while ``claimed`` tasks are claimed."""
    return uvloop.run(_falling_due(folder, claimed))


async def _falling_due(folder: Path, claimed: int) -> Figures:
    clock = SetClock()
    async with open_store(folder, _SEGMENT_MIB, clock) as store:
        clock.ahead_ms = 3 * HOUR_MS
        return await _gaps_during(_requeue(store, claimed, clock() + HOUR_MS))


async def _requeue(store: EmbeddedStore, count: int, not_before_ms: int) -> None:
    for _ in range(0, count, _CLAIMED_AT_ONCE):
        tasks = await store.claim(_CLAIMED_AT_ONCE)
        await store.settle([Requeued(task.id, not_before_ms) for task in tasks])


def compacting(folder: Path) -> Figures:
    """The gaps of a store that is compacted."""
    return uvloop.run(_compacting(folder))


async def _compacting(folder: Path) -> Figures:
    async with open_store(folder, _SEGMENT_MIB) as store:
        # seals a segment, so that there is something to compact
        await add_pending(store, _TASKS_OF_A_SEGMENT, start_ms=system_clock_ms() + HOUR_MS)
        return await _gaps_during(store.compact())


async def _gaps_during(doing: Awaitable[object]) -> Figures:
    ticker = Ticker()
    with elapsed() as took:
        await doing
    return {**percentiles(ticker.stop()), "seconds": took.wall_s, "CPU s": took.cpu_s}


@click.command()
@size("--tasks", 200_000, "Live tasks in the journal.")
@size("--rest-s", 1.0, "How long the store rests for the yardstick.", least=0.1)
@size("--claimed", 20_000, "How many tasks of the hour that falls due are claimed.")
@benchmark_options
def command(harness: Harness, tasks: int, rest_s: float, claimed: int) -> None:
    """How long the event loop stands still while a journal is compacted, and when an hour falls due at once."""
    with harness.scratch() as scratch:
        folder = Path(scratch)
        with harness.preparing("Writing the journal"):
            in_fresh_process(fill, folder, tasks)
        study = Study(
            name="compaction",
            title=f"Pauses of the event loop, {tasks:,} live tasks in the journal",
            subjects=[
                Subject("at rest", partial(in_fresh_process, at_rest, folder, rest_s)),
                Subject("an hour falls due", partial(in_fresh_process, falling_due, folder, claimed)),
                Subject("compacting", partial(in_fresh_process, compacting, folder)),
            ],
            settings={"tasks": tasks, "tick": f"{_TICK_S * 1000:g} ms", "claimed": claimed},
            plotted=("max ms", "p99 ms"),
            comparisons=[Comparison("max ms", ["at rest"])],
        )
        harness.conduct(study)
