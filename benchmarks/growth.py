"""Whether dispatching a task costs more when many others wait as well.

The same number of tasks is drained from stores of different sizes; all the tasks in them are due. The process that
drains is not the one that filled the store, so that what filling leaves to be done is not counted.
"""

from functools import partial
from pathlib import Path

import click
import uvloop

from benchmarks.harness.engine import open_engine, open_store
from benchmarks.harness.harness import Harness, benchmark_options, size
from benchmarks.harness.lambda_stub import running_stub
from benchmarks.harness.populate import add_pending
from benchmarks.harness.processes import elapsed, in_fresh_process
from benchmarks.harness.study import Comparison, Figures, Study, Subject
from taskd.model.clock import system_clock_ms

QUICK = {"few": 100, "many": 2_000, "tasks": 100}
COST = "CPU µs/task"


def fill(folder: Path, tasks: int) -> None:
    """Leaves a data directory with ``tasks`` due tasks, and a journal that needs no compaction soon."""
    uvloop.run(_fill(folder, tasks))


async def _fill(folder: Path, tasks: int) -> None:
    async with open_store(folder) as store:
        await add_pending(store, tasks, start_ms=system_clock_ms())
        await store.compact()


def drained(url: str, folder: Path, tasks: int, in_flight: int) -> Figures:
    """Drains ``tasks`` of the tasks in ``folder``."""
    return uvloop.run(_drained(url, folder, tasks, in_flight))


async def _drained(url: str, folder: Path, tasks: int, in_flight: int) -> Figures:
    async with open_engine(folder, url, in_flight, tasks) as engine:
        await engine.runner.start()  # the first claim comes after it
        with elapsed() as took:
            await engine.ends.reached
    return {"tasks/s": tasks / took.wall_s, COST: took.cpu_s / tasks * 1e6}


def drained_among(harness: Harness, url: str, tasks: int, waiting: int, in_flight: int) -> Figures:
    """Drains ``tasks`` while ``waiting`` more are due."""
    with harness.scratch() as folder:
        in_fresh_process(fill, Path(folder), tasks + waiting)
        return in_fresh_process(drained, url, Path(folder), tasks, in_flight)


@click.command()
@size("--few", 10_000, "Tasks that wait besides those that are drained.")
@size("--many", 200_000, "The same, in the larger store.")
@size("--tasks", 10_000, "How many are drained.")
@size("--in-flight", 256)
@benchmark_options
def command(harness: Harness, few: int, many: int, tasks: int, in_flight: int) -> None:
    """Whether dispatching a task costs more when many others wait as well."""

    sizes = {f"{waiting:,} waiting": waiting for waiting in (few, many)}
    with running_stub() as url:
        study = Study(
            name="growth",
            title=f"Draining {tasks:,} tasks while others wait",
            subjects=[
                Subject(size, partial(drained_among, harness, url, tasks, waiting, in_flight))
                for size, waiting in zip(sizes, (few, many), strict=True)
            ],
            settings={"in flight": in_flight},
            plotted=(COST, "tasks/s"),
            comparisons=[Comparison(COST, list(sizes)[:1])],
        )
        harness.conduct(study)
