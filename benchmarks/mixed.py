"""Everything at once on a real daemon: tasks are created, run, and listed from a large history.

Creating and listing go on at fixed rates, whether or not the daemon keeps up, and are measured from the moment at
which each request was due. Tasks run as soon as they are created, on the AWS runtime against a stub. The yardstick is
the same without the listings.
"""

from functools import partial
from pathlib import Path

import click
import uvloop

from benchmarks.daemons import BASE_PATH, running_daemon
from benchmarks.engine import open_store
from benchmarks.filling import add_finished, body
from benchmarks.frame import Frame, benchmark_options, size
from benchmarks.lambda_stub import running_stub, tally_of
from benchmarks.load import Plan, Request, Stream, send
from benchmarks.processes import cpu_s, in_fresh_process
from benchmarks.study import Comparison, Figures, Study, Subject, percentiles
from taskd.model.clock import system_clock_ms

QUICK = {"finished": 200, "seconds": 0.3, "creates_per_s": 50, "listings_per_s": 20}
WITHOUT = "without listings"
QUERIES = (
    "eq(status,failed)&sort(-creationTimestamp)&limit(50)",
    "functionName=noop3&sort(-creationTimestamp)&limit(20)",
    "in(status,new,inProgress)&limit(20)",
    "and(eq(functionName,noop7),eq(status,failed))&limit(20)",
)


def make_history(folder: Path, finished: int) -> None:
    """Leaves a data directory with as many finished tasks."""
    uvloop.run(_make_history(folder, finished))


async def _make_history(folder: Path, finished: int) -> None:
    async with open_store(folder / "data") as store:
        await add_finished(store, finished)


def streams(creates_per_s: float, listings_per_s: float) -> list[Stream]:
    """The load; no listings if their rate is 0."""
    now_ms = system_clock_ms()
    creates = [Request("POST", BASE_PATH, body(number, now_ms).decode()) for number in range(100)]
    listings = [Request("GET", f"{BASE_PATH}?{query}") for query in QUERIES]
    load = [Stream(creates, 32, creates_per_s)]
    return [*load, Stream(listings, 8, listings_per_s)] if listings_per_s else load


def mixed(folder: Path, seconds: float, load: list[Stream]) -> Figures:
    """One measurement on the history in ``folder``, which grows by what is created."""
    with running_stub() as stub_url, running_daemon(folder, stub_url) as daemon:
        cpu_began_s = cpu_s(daemon.pid)
        answers = send(Plan(daemon.url, seconds, load))
        took_cpu_s = cpu_s(daemon.pid) - cpu_began_s
        calls = tally_of(stub_url).calls
    figures = {"dispatched/s": calls / seconds, "CPU µs/task": took_cpu_s / max(1, calls) * 1e6}
    for name, of_stream in zip(("create", "listing"), answers, strict=False):
        figures |= {f"{name} {figure}": value for figure, value in percentiles(of_stream.latencies_ms).items()}
        figures[f"{name}s/s"] = of_stream.ok / seconds
    return figures


@click.command()
@size("--finished", 100_000, "Finished tasks in the history.")
@size("--seconds", 10.0, least=0.1)
@size("--creates-per-s", 1_000.0, "As many tasks are run, too.", least=0)
@size("--listings-per-s", 20.0, least=0)
@benchmark_options
def command(frame: Frame, finished: int, seconds: float, creates_per_s: float, listings_per_s: float) -> None:
    """Creating, running and listing at once."""
    with frame.scratch() as scratch:
        folder = Path(scratch)
        with frame.preparing("Running the tasks of the history"):
            in_fresh_process(make_history, folder, finished)
        alone, all_at_once = streams(creates_per_s, 0), streams(creates_per_s, listings_per_s)
        study = Study(
            name="mixed",
            title=f"Creating, running and listing at once, {finished:,} finished tasks",
            subjects=[
                Subject(WITHOUT, partial(mixed, folder, seconds, alone)),
                Subject("with listings", partial(mixed, folder, seconds, all_at_once)),
            ],
            settings={
                "finished": finished,
                "seconds": seconds,
                "creates/s": creates_per_s,
                "listings/s": listings_per_s,
                "queries": " ".join(QUERIES),
            },
            plotted=("create p99 ms", "listing p99 ms"),
            comparisons=[Comparison("create p99 ms", [WITHOUT])],
        )
        frame.conduct(study)
