"""How fast due tasks are drained, beside a bare loop that does the same signed requests with no queue at all.

``python -m benchmarks.dispatch`` starts a stub Lambda endpoint in a process of its own. Then it alternates between
the bare loop, and the store with its journal and catalogue, the dispatcher and the AWS runtime, in this process.
Draining counts until every task is durably settled and can be read in a listing.
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path

import uvloop
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from benchmarks.bare_loop import bare_loop
from benchmarks.lambda_stub import running_stub
from taskd.dispatch.dispatcher import Dispatcher
from taskd.dispatch.settings import DispatchSettings
from taskd.model.clock import system_clock_ms
from taskd.model.task import TaskDraft
from taskd.rql.parser import parse
from taskd.runtime.aws.runtime import AwsRuntime
from taskd.runtime.aws.settings import AwsSettings
from taskd.store.embedded import EmbeddedStore
from taskd.store.settings import StoreSettings

_DATA = b'{"patient":{"id":"614b1f2d8f3c2a0012345678"},"pad":"' + b"x" * 60 + b'"}'
_ADD_AT_ONCE = 1_000


class Run(Struct, frozen=True):
    """One round: what the bare loop did, then what the queue did."""

    bare_per_second: float
    bare_cpu_us: float
    drained_per_second: float
    drained_cpu_us: float

    @property
    def ratio(self) -> float:
        """Of the bare loop's rate, what is left with everything that a task service does."""
        return self.drained_per_second / self.bare_per_second


async def drain(url: str, folder: Path, tasks: int, in_flight: int) -> tuple[float, float]:
    """Drains ``tasks`` due tasks; gives tasks per second, and microseconds of CPU for each in this process."""
    store = EmbeddedStore(StoreSettings(data=str(folder)))
    runtime = AwsRuntime(AwsSettings(region="eu-west-1", endpoint_url=url))
    await store.start()
    await runtime.start([])
    dispatcher = Dispatcher(store, runtime, DispatchSettings(max_in_flight=in_flight))
    draft = TaskDraft(function_name="noop", data=_DATA, start_ms=system_clock_ms())
    for begin in range(0, tasks, _ADD_AT_ONCE):
        await store.add([draft] * min(_ADD_AT_ONCE, tasks - begin))
    await store.find(parse("limit(1)"))
    began_s, cpu_began_s = time.perf_counter(), time.process_time()
    await dispatcher.start()
    complete = 0
    while complete < tasks:
        await asyncio.sleep(0.02)
        if store.next_due_ms() is None and not dispatcher.in_flight:
            complete = (await store.find(parse("status=complete&limit(1)"))).total or 0
    took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - cpu_began_s
    await dispatcher.drain(10)
    await runtime.stop()
    await store.stop()
    return tasks / took_s, cpu_s / tasks * 1e6


def one_run(url: str, tasks: int, in_flight: int) -> Run:
    """The bare loop and the queue, one after the other."""
    bare = uvloop.run(bare_loop(url, tasks, in_flight))
    with tempfile.TemporaryDirectory(dir=".") as folder:
        drained_per_second, drained_cpu_us = uvloop.run(drain(url, Path(folder), tasks, in_flight))
    return Run(bare.per_second, bare.cpu_ms_each * 1000, drained_per_second, drained_cpu_us)


def report(runs: list[Run], tasks: int, in_flight: int) -> Table:
    """The rounds and their medians."""
    table = Table(title=f"{tasks:,} due tasks, {in_flight} in flight")
    for name in ("", "bare loop/s", "CPU µs", "taskd tasks/s", "CPU µs", "ratio"):
        table.add_column(name, justify="right")
    for number, run in enumerate(runs, 1):
        table.add_row(str(number), *_cells(run))
    columns = ([getattr(run, name) for run in runs] for name in Run.__struct_fields__)
    table.add_row("median", *_cells(Run(*map(statistics.median, columns))), style="bold")
    return table


def _cells(run: Run) -> list[str]:
    rates = f"{run.bare_per_second:,.0f}", f"{run.bare_cpu_us:.0f}"
    return [*rates, f"{run.drained_per_second:,.0f}", f"{run.drained_cpu_us:.0f}", f"{run.ratio:.2f}"]


def main() -> None:
    """Parses the command line, measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--in-flight", type=int, default=256)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    os.environ.setdefault("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "not a secret")
    with running_stub() as url:
        runs = [one_run(url, options.tasks, options.in_flight) for _ in range(options.runs)]
    Console().print(report(runs, options.tasks, options.in_flight))


if __name__ == "__main__":
    main()
