"""How much memory waiting tasks take: of a process that created them, and of one that came back to them.

Each is a fresh process with a store and nothing else. What is counted is all that became resident, so that what
allocators keep and what creating left behind counts as well.
"""

import gc
from functools import partial
from pathlib import Path

import click
import uvloop

from benchmarks.engine import open_store
from benchmarks.filling import HOUR_MS, add_pending
from benchmarks.frame import Frame, benchmark_options
from benchmarks.processes import in_fresh_process, resident_bytes
from benchmarks.study import Figures, Study, Subject
from taskd.model.clock import system_clock_ms

QUICK = {"tasks": 2_000}
_MIB = 1 << 20


def created(folder: Path, tasks: int, data_bytes: int) -> Figures:
    """Memory of a process that creates ``tasks`` waiting tasks in ``folder``."""
    return uvloop.run(_measured(folder, tasks, data_bytes, tasks))


def recovered(folder: Path, tasks: int, data_bytes: int) -> Figures:
    """Memory of a process that finds ``tasks`` waiting tasks in ``folder``."""
    return uvloop.run(_measured(folder, 0, data_bytes, tasks))


async def _measured(folder: Path, adding: int, data_bytes: int, tasks: int) -> Figures:
    gc.collect()
    before_bytes = resident_bytes()
    async with open_store(folder) as store:
        if adding:
            await add_pending(store, adding, start_ms=system_clock_ms() + HOUR_MS, data_bytes=data_bytes)
        gc.collect()
        after_bytes = resident_bytes()
        each_bytes = (after_bytes - before_bytes) / tasks
    return {"resident MiB": after_bytes / _MIB, "B/task": each_bytes, "B/task beyond data": each_bytes - data_bytes}


@click.command()
@click.option("--tasks", default=200_000, show_default=True)
@click.option("--data-bytes", default=100, show_default=True, help="Size of each task's data.")
@benchmark_options
def command(frame: Frame, tasks: int, data_bytes: int) -> None:
    """How much memory waiting tasks take."""
    with frame.scratch() as folder:
        kept = Path(folder) / "kept"
        in_fresh_process(created, kept, tasks, data_bytes)

        def in_new_folder() -> Figures:
            with frame.scratch() as other:
                return in_fresh_process(created, Path(other), tasks, data_bytes)

        study = Study(
            name="memory",
            title=f"Memory of {tasks:,} waiting tasks with {data_bytes} bytes of data each",
            subjects=[
                Subject("after creating them", in_new_folder),
                Subject("after a restart", partial(in_fresh_process, recovered, kept, tasks, data_bytes)),
            ],
            settings={"tasks": tasks, "bytes of data": data_bytes},
            plotted=("B/task beyond data", "resident MiB"),
        )
        frame.conduct(study)
