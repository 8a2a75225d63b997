"""How much memory waiting tasks take: of a process that created them, and of one that finds them at its start.

Each is a fresh process with a store and nothing else. What is counted is all that became resident, so that what
allocators keep and what creating left behind counts as well.
"""

import gc
from functools import partial
from pathlib import Path

import click
import uvloop

from benchmarks.harness.engine import open_store
from benchmarks.harness.harness import Harness, benchmark_options, size
from benchmarks.harness.populate import HOUR_MS, add_pending
from benchmarks.harness.processes import in_fresh_process, resident_bytes
from benchmarks.harness.study import Figures, Study, Subject
from taskd.model.clock import system_clock_ms

QUICK = {"tasks": 2_000}
_MIB = 1 << 20
_MONTH_MS = 30 * 24 * HOUR_MS


def created(folder: Path, tasks: int, data_bytes: int, start_in_ms: int, spread_ms: int = 0) -> Figures:
    """Memory of a process that creates ``tasks`` waiting tasks in ``folder``, to start within ``spread_ms``."""
    return uvloop.run(_measured(folder, tasks, data_bytes, start_in_ms, spread_ms))


def recovered(folder: Path, tasks: int, data_bytes: int) -> Figures:
    """Memory of a process that finds ``tasks`` waiting tasks in ``folder``."""
    return uvloop.run(_measured(folder, tasks, data_bytes, None))


async def _measured(folder: Path, tasks: int, data_bytes: int, start_in_ms: int | None, spread_ms: int = 0) -> Figures:
    """Adds the tasks if it is said when they start."""
    gc.collect()
    before_bytes = resident_bytes()
    async with open_store(folder) as store:
        if start_in_ms is not None:
            start_ms = system_clock_ms() + start_in_ms
            await add_pending(store, tasks, start_ms=start_ms, data_bytes=data_bytes, spread_ms=spread_ms)
        gc.collect()
        after_bytes = resident_bytes()
        each_bytes = (after_bytes - before_bytes) / tasks
    return {"resident MiB": after_bytes / _MIB, "B/task": each_bytes, "B/task beyond data": each_bytes - data_bytes}


def created_anew(harness: Harness, tasks: int, data_bytes: int) -> Figures:
    """Creates the tasks in a folder of their own, by a process of its own."""
    with harness.scratch() as folder:
        return in_fresh_process(created, Path(folder), tasks, data_bytes, HOUR_MS)


@click.command()
@size("--tasks", 200_000)
@size("--data-bytes", 100, "Size of each task's data.")
@benchmark_options
def command(harness: Harness, tasks: int, data_bytes: int) -> None:
    """How much memory waiting tasks take."""
    with harness.scratch() as scratch:
        later, due, spread = (Path(scratch) / name for name in ("later", "due", "spread"))
        with harness.preparing("Creating the tasks that restarts find"):
            in_fresh_process(created, later, tasks, data_bytes, HOUR_MS)
            in_fresh_process(created, due, tasks, data_bytes, 0)
            in_fresh_process(created, spread, tasks, data_bytes, HOUR_MS, _MONTH_MS)

        study = Study(
            name="memory",
            title=f"Memory of {tasks:,} waiting tasks with {data_bytes} bytes of data each",
            subjects=[
                Subject("just created", partial(created_anew, harness, tasks, data_bytes)),
                Subject("found by a restart", partial(in_fresh_process, recovered, later, tasks, data_bytes)),
                Subject("found, and all due", partial(in_fresh_process, recovered, due, tasks, data_bytes)),
                Subject("found, over a month", partial(in_fresh_process, recovered, spread, tasks, data_bytes)),
            ],
            settings={"tasks": tasks, "bytes of data": data_bytes},
            plotted=("B/task beyond data", "resident MiB"),
        )
        harness.conduct(study)
