"""How long a start takes after a crash: from opening the journal to the first task that can be run.

*Replay alone* reads the frames back into a live state and does no more; *ready* is everything that a start does until
the first due task has been claimed.
"""

from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import click
import uvloop

from benchmarks.harness.engine import open_store
from benchmarks.harness.harness import Harness, benchmark_options, size
from benchmarks.harness.populate import add_pending
from benchmarks.harness.processes import Elapsed, elapsed, in_fresh_process
from benchmarks.harness.study import Comparison, Figures, Study, Subject
from taskd.model.clock import system_clock_ms
from taskd.store.embedded.events import decode_events
from taskd.store.embedded.journal.directory import segments
from taskd.store.embedded.journal.replay import Replay
from taskd.store.embedded.state import LiveState

QUICK = {"tasks": 1_000, "per_frame": 100}
REPLAY = "replay alone"


def write_journal(folder: Path, tasks: int, per_frame: int) -> None:
    """Leaves a data directory with ``tasks`` due tasks, written ``per_frame`` at a time."""
    uvloop.run(_write_journal(folder, tasks, per_frame))


async def _write_journal(folder: Path, tasks: int, per_frame: int) -> None:
    async with open_store(folder) as store:
        await add_pending(store, tasks, start_ms=system_clock_ms(), per_frame=per_frame)


def replayed(folder: Path) -> Figures:
    """Folds the journal in ``folder``."""
    with elapsed() as took:
        state = LiveState()
        for _, payload in Replay(segments(folder / "journal")[0]):
            state.apply_all(decode_events(payload))
    return _figures(len(state.tasks), took)


def ready(folder: Path, tasks: int) -> Figures:
    """Opens a store in ``folder`` until a task has been claimed."""
    return uvloop.run(_ready(folder, tasks))


async def _ready(folder: Path, tasks: int) -> Figures:
    async with AsyncExitStack() as stack:
        with elapsed() as took:
            store = await stack.enter_async_context(open_store(folder))
            await store.reap(1)  # as the daemon does before it claims
            await store.claim(1)
        return _figures(tasks, took)


def _figures(tasks: int, took: Elapsed) -> Figures:
    return {"live tasks/s": tasks / took.wall_s, "seconds": took.wall_s, "CPU µs/task": took.cpu_s / tasks * 1e6}


@click.command()
@size("--tasks", 200_000)
@size("--per-frame", 1, "Tasks that were created with one request.")
@benchmark_options
def command(harness: Harness, tasks: int, per_frame: int) -> None:
    """How long a start takes after a crash."""
    with harness.scratch() as scratch:
        folder = Path(scratch)
        with harness.preparing("Writing the journal"):
            in_fresh_process(write_journal, folder, tasks, per_frame)
        study = Study(
            name="recovery",
            title=f"Coming back to {tasks:,} live tasks",
            subjects=[
                Subject(REPLAY, partial(in_fresh_process, replayed, folder)),
                Subject("ready", partial(in_fresh_process, ready, folder, tasks)),
            ],
            settings={"tasks": tasks, "tasks per frame": per_frame},
            plotted=("live tasks/s", "seconds"),
            comparisons=[Comparison("live tasks/s", [REPLAY])],
        )
        harness.conduct(study)
