"""How long the event loop stands still while a long journal is compacted.

A ticker asks to be called every millisecond; a gap is how much later than that it was. The yardstick is the same
ticker on the same store with nothing going on.
"""

import asyncio
import time
from collections.abc import Awaitable
from functools import partial
from pathlib import Path

import click
import uvloop

from benchmarks.engine import open_store
from benchmarks.filling import HOUR_MS, add_pending
from benchmarks.frame import Frame, benchmark_options
from benchmarks.processes import in_fresh_process
from benchmarks.study import Comparison, Figures, Study, Subject, percentiles
from taskd.model.clock import system_clock_ms

QUICK = {"tasks": 1_000}
_TICK_S = 0.001
_REST_S = 1.0
_SEGMENT_MIB = 1
"""Small segments, so that nearly all of the journal is sealed when it is compacted."""
_TASKS_OF_A_SEGMENT = 8_000
"""Enough to fill one."""


class Ticker:
    """Notes how late it is called."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._due_s = self._loop.time() + _TICK_S
        self._handle = self._loop.call_at(self._due_s, self._tick)
        self.gaps_ms: list[float] = []

    def stop(self) -> list[float]:
        """The gaps, in milliseconds; one that has not ended yet counts as well."""
        self._handle.cancel()
        return [*self.gaps_ms, max(0.0, self._loop.time() - self._due_s) * 1000]

    def _tick(self) -> None:
        now_s = self._loop.time()
        self.gaps_ms.append((now_s - self._due_s) * 1000)
        self._due_s = now_s + _TICK_S
        self._handle = self._loop.call_at(self._due_s, self._tick)


def fill(folder: Path, tasks: int) -> None:
    """Leaves a data directory with ``tasks`` waiting tasks in a snapshot."""
    uvloop.run(_fill(folder, tasks))


async def _fill(folder: Path, tasks: int) -> None:
    async with open_store(folder, _SEGMENT_MIB) as store:
        await add_pending(store, tasks, start_ms=system_clock_ms() + HOUR_MS)
        await store.compact()


def gaps(folder: Path, *, compacting: bool) -> Figures:
    """The gaps of a store that is compacted, or rests."""
    return uvloop.run(_gaps(folder, compacting=compacting))


async def _gaps(folder: Path, *, compacting: bool) -> Figures:
    async with open_store(folder, _SEGMENT_MIB) as store:
        # seals a segment, so that there is something to compact
        await add_pending(store, _TASKS_OF_A_SEGMENT, start_ms=system_clock_ms() + HOUR_MS)
        return await _gaps_during(store.compact() if compacting else asyncio.sleep(_REST_S))


async def _gaps_during(doing: Awaitable[object]) -> Figures:
    ticker = Ticker()
    began_s = time.perf_counter()
    await doing
    took_s = time.perf_counter() - began_s
    return {**percentiles(ticker.stop()), "seconds": took_s}


@click.command()
@click.option("--tasks", default=200_000, show_default=True, help="Live tasks in the journal.")
@benchmark_options
def command(frame: Frame, tasks: int) -> None:
    """How long the event loop stands still while a long journal is compacted."""
    with frame.scratch() as scratch:
        folder = Path(scratch)
        in_fresh_process(fill, folder, tasks)
        study = Study(
            name="compaction",
            title=f"Pauses of the event loop, {tasks:,} live tasks in the journal",
            subjects=[
                Subject("at rest", partial(in_fresh_process, gaps, folder, compacting=False)),
                Subject("compacting", partial(in_fresh_process, gaps, folder, compacting=True)),
            ],
            settings={"tasks": tasks, "tick": f"{_TICK_S * 1000:g} ms"},
            plotted=("max ms", "p99 ms"),
            comparisons=[Comparison("max ms", ["at rest"])],
        )
        frame.conduct(study)
