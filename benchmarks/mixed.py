"""Everything at once on a real daemon: tasks are created, run, and listed from a large history.

Creating and listing go on at fixed rates, whether or not the daemon keeps up, and are measured from the moment at
which each request was due. Tasks run as soon as they are created, on the AWS runtime against a stub. The yardstick is
the same without the listings. Scans are listings that no index answers.
"""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import click
import uvloop

from benchmarks.harness.daemons import BASE_PATH, running_daemon
from benchmarks.harness.engine import open_store
from benchmarks.harness.harness import Harness, benchmark_options, size
from benchmarks.harness.lambda_stub import running_stub, tally_of
from benchmarks.harness.load import Plan, Request, Stream, send
from benchmarks.harness.populate import add_finished, body
from benchmarks.harness.processes import cpu_s, in_fresh_process
from benchmarks.harness.study import Comparison, Figures, Study, Subject, percentiles
from taskd.model.clock import system_clock_ms

QUICK = {"finished": 200, "seconds": 0.3, "creates_per_s": 50, "listings_per_s": 20, "scans_per_s": 20}
WITHOUT = "without listings"
SCANS = ("data.patient=77", "data.patient=string:77", "data.patient<10&sort(-creationTimestamp)&limit(50)")
QUERIES = (
    "eq(status,failed)&sort(-creationTimestamp)&limit(50)",
    "functionName=noop3&sort(-creationTimestamp)&limit(20)",
    "in(status,new,inProgress)&limit(20)",
    "and(eq(functionName,noop7),eq(status,failed))&limit(20)",
)


def make_history(folder: Path, finished: int) -> None:
    """Leaves a data directory with as many finished tasks, all of it on the disk: that work is not to be measured."""
    uvloop.run(_make_history(folder, finished))
    os.sync()


async def _make_history(folder: Path, finished: int) -> None:
    async with open_store(folder / "data") as store:
        await add_finished(store, finished)


def streams(creates_per_s: float, listings_per_s: float = 0, scans_per_s: float = 0) -> dict[str, Stream]:
    """The load, by what it does; nothing of what has the rate 0."""
    now_ms = system_clock_ms()
    creates = [Request("POST", BASE_PATH, body(number, now_ms).decode()) for number in range(100)]
    load = {
        "create": Stream(creates, 32, creates_per_s),
        "listing": Stream(_listings(QUERIES), 8, listings_per_s),
        "scan": Stream(_listings(SCANS), 8, scans_per_s),
    }
    return {name: stream for name, stream in load.items() if stream.rate_per_s}


def _listings(queries: Sequence[str]) -> list[Request]:
    return [Request("GET", f"{BASE_PATH}?{query}") for query in queries]


def mixed(folder: Path, seconds: float, load: Mapping[str, Stream]) -> Figures:
    """One measurement on the history in ``folder``, which grows by what is created."""
    with running_stub() as stub_url, running_daemon(folder, stub_url) as daemon:
        cpu_began_s = cpu_s(daemon.pid)
        answers = send(Plan(daemon.url, seconds, list(load.values())))
        took_cpu_s = cpu_s(daemon.pid) - cpu_began_s
        calls = tally_of(stub_url).calls
    figures = {"dispatched/s": calls / seconds, "CPU µs/task": took_cpu_s / max(1, calls) * 1e6}
    for name, of_stream in zip(load, answers, strict=True):
        figures |= {f"{name} {figure}": value for figure, value in percentiles(of_stream.latencies_ms).items()}
        figures[f"{name}s/s"] = of_stream.ok / seconds
    return figures


@click.command()
@size("--finished", 100_000, "Finished tasks in the history.")
@size("--seconds", 10.0, least=0.1)
@size("--creates-per-s", 1_000.0, "As many tasks are run, too.", least=0)
@size("--listings-per-s", 20.0, least=0)
@size("--scans-per-s", 0.5, least=0)
@benchmark_options
def command(harness: Harness, /, finished: int, seconds: float, **per_s: float) -> None:
    """Creating, running and listing at once."""
    with harness.scratch() as scratch:
        folder = Path(scratch)
        with harness.preparing("Running the tasks of the history"):
            in_fresh_process(make_history, folder, finished)
        creates_per_s, listings_per_s = per_s["creates_per_s"], per_s["listings_per_s"]
        loads = {
            WITHOUT: streams(creates_per_s),
            "with listings": streams(creates_per_s, listings_per_s),
            "with listings and scans": streams(**per_s),
        }
        study = Study(
            name="mixed",
            title=f"Creating, running and listing at once, {finished:,} finished tasks",
            subjects=[Subject(name, partial(mixed, folder, seconds, load)) for name, load in loads.items()],
            settings={
                "finished": finished,
                "seconds": seconds,
                **{name.replace("_per_s", "/s"): rate for name, rate in per_s.items()},
                "queries": " ".join(QUERIES),
                "scanning queries": " ".join(SCANS),
            },
            plotted=("create p99 ms", "listing p99 ms"),
            comparisons=[Comparison("create p99 ms", [WITHOUT])],
        )
        harness.conduct(study)
