"""How long listings take over many finished tasks, at rest and while tasks go on being created, claimed and settled.

Each filter is asked in process, so what is measured is the catalogue, not HTTP. The yardstick is the smallest page
there is: a few records, and no counting.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import click
import uvloop

from benchmarks.harness.engine import open_store
from benchmarks.harness.harness import Harness, benchmark_options
from benchmarks.harness.populate import add_finished, drafts
from benchmarks.harness.processes import in_fresh_process
from benchmarks.harness.study import Comparison, Figures, Study, Subject, percentiles
from taskd.model.clock import system_clock_ms
from taskd.rql.parser import parse
from taskd.store.base import Completed, TaskStore

QUICK = {"tasks": 2_000, "questions": 3, "all_of": 200}
_YARDSTICK = "uncounted page"
_FILTERS = {
    _YARDSTICK: "skipCount()",
    "first page": "",
    "deep page": "limit(50,{deep})",
    "by status": "eq(status,failed)",
    "by status, newest first": "eq(status,complete)&sort(-creationTimestamp)&limit(50)",
    "by function and status": "and(functionName=noop3,status=complete)&sort(-creationTimestamp)",
    "by data": "data.patient=77",
}
_PATIENTS = 1_000
"""How many different values ``data.patient`` has."""
_SDK_PAGE = 50
"""What clients ask for when they want everything."""
_SEGMENT_MIB = 1
"""Small segments, so that nearly all of the journal is compacted and every subject starts at once."""
_STEP = 64
"""How many tasks are claimed and settled at once meanwhile."""


def fill(folder: Path, tasks: int) -> None:
    """Leaves a data directory with ``tasks`` finished tasks."""
    uvloop.run(_fill(folder, tasks))


async def _fill(folder: Path, tasks: int) -> None:
    async with open_store(folder, _SEGMENT_MIB) as store:
        await add_finished(store, tasks)
        await store.compact()


def asked(folder: Path, text: str, questions: int, *, busy: bool) -> Figures:
    """How long the listing for the query ``text`` takes."""
    return uvloop.run(_asked(folder, text, questions, busy=busy))


async def _asked(folder: Path, text: str, questions: int, *, busy: bool) -> Figures:
    query = parse(text)
    took_ms: list[float] = []
    async with open_store(folder) as store, _dispatching(store, busy=busy):
        for _ in range(questions):
            began_s = time.perf_counter()
            await store.find(query)
            took_ms.append((time.perf_counter() - began_s) * 1000)
    return percentiles(took_ms)


def all_pages(folder: Path, patients: int) -> Figures:
    """How long it takes to read every task of the first ``patients`` patients, page by page."""
    return uvloop.run(_all_pages(folder, patients))


async def _all_pages(folder: Path, patients: int) -> Figures:
    began_s, found, total = time.perf_counter(), 0, 1
    async with open_store(folder) as store:
        while found < total:
            page = await store.find(parse(f"data.patient<{patients}&limit({_SDK_PAGE},{found})"))
            found, total = found + len(page.rows), page.total or 0
    return {"seconds": time.perf_counter() - began_s, "tasks": found}


@contextlib.asynccontextmanager
async def _dispatching(store: TaskStore, *, busy: bool) -> AsyncIterator[None]:
    """Tasks are created, claimed and settled meanwhile, if ``busy``."""
    working = asyncio.create_task(_work(store)) if busy else None
    try:
        yield
    finally:
        if working is not None:
            working.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await working


async def _work(store: TaskStore) -> None:
    while True:
        [batch] = drafts(_STEP, system_clock_ms())
        await store.add(batch)
        await store.settle([Completed(task.id) for task in await store.claim(_STEP)])


def _filter_subjects(folder: Path, tasks: int, questions: int) -> list[Subject]:
    return [
        Subject(
            f"{name}, busy" if busy else name,
            partial(in_fresh_process, asked, folder, text.format(deep=tasks - _SDK_PAGE), questions, busy=busy),
        )
        for busy in (False, True)
        for name, text in _FILTERS.items()
    ]


@click.command()
@click.option("--tasks", default=200_000, show_default=True, help="Finished tasks in the catalogue.")
@click.option("--questions", default=20, show_default=True, help="How often each listing is asked for in a run.")
@click.option("--all-of", default=5_000, show_default=True, help="Tasks that match where every page is read.")
@benchmark_options
def command(harness: Harness, tasks: int, questions: int, all_of: int) -> None:
    """How long listings take over many finished tasks."""
    with harness.scratch() as scratch:
        folder = Path(scratch)
        in_fresh_process(fill, folder, tasks)
        settings: dict[str, object] = {"tasks": tasks, "questions": questions, "page of all": _SDK_PAGE}
        every_page = partial(in_fresh_process, all_pages, folder, all_of * _PATIENTS // tasks)
        harness.conduct(
            Study(
                name="listing-all",
                title=f"Every page of a listing over {tasks:,} finished tasks",
                subjects=[Subject("all pages", every_page)],
                settings=settings,
                plotted=("seconds",),
            )
        )
        harness.conduct(
            Study(
                name="listing",
                title=f"Listings over {tasks:,} finished tasks",
                subjects=_filter_subjects(folder, tasks, questions),
                settings=settings,
                plotted=("p50 ms", "p99 ms"),
                comparisons=[Comparison("p50 ms", [_YARDSTICK])],
            )
        )
