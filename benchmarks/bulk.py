"""How many tasks a second are created many at a time, durable when the answer leaves, on a real daemon.

The yardstick is beanstalkd syncing before it answers, with as many puts in one go as a request here has tasks.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click

from benchmarks.create import posted, require_listed
from benchmarks.harness.beanstalk import put
from benchmarks.harness.daemons import BASE_PATH, running_daemon
from benchmarks.harness.harness import Harness, benchmark_options, size
from benchmarks.harness.load import Request
from benchmarks.harness.populate import HOUR_MS, body
from benchmarks.harness.study import Comparison, Figures, Study, Subject
from taskd.model.clock import system_clock_ms

QUICK = {"seconds": 0.1, "batch": 20, "connections": 1}
YARDSTICK = "beanstalkd -f0"


def bulk_requests(batch: int, data_bytes: int) -> list[Request]:
    """A few different requests of ``batch`` tasks each, a task on a line."""
    start_ms = system_clock_ms() + HOUR_MS
    lines = [body(number, start_ms, data_bytes).decode() for number in range(4 * batch)]
    texts = ("\n".join(lines[begin : begin + batch]) for begin in range(0, len(lines), batch))
    return [Request("POST", f"{BASE_PATH}/bulk", text) for text in texts]


def on_daemon(harness: Harness, requests: Sequence[Request], batch: int, connections: int, seconds: float) -> Figures:
    """Sends ``requests`` of ``batch`` tasks to a daemon."""

    def check(answered: int) -> None:
        require_listed(daemon, answered * batch)

    with harness.scratch() as folder, running_daemon(Path(folder)) as daemon:
        figures = posted(daemon, requests, connections, seconds, check)
    return {
        "tasks/s": figures.pop("requests/s") * batch,
        "CPU µs/task": figures.pop("CPU µs/request") / batch,
        **{f"request {name}": value for name, value in figures.items()},
    }


def on_beanstalkd(harness: Harness, jobs: Sequence[bytes], batch: int, connections: int, seconds: float) -> Figures:
    """Puts as many jobs in one go."""
    with harness.scratch() as folder:
        return put(Path(folder), jobs, batch, connections, seconds)


@click.command()
@size("--seconds", 5.0, least=0.1)
@size("--batch", 1_000, "Tasks in a request.")
@size("--connections", 4)
@size("--data-bytes", 100, "Size of each task's data.")
@benchmark_options
def command(harness: Harness, seconds: float, batch: int, connections: int, data_bytes: int) -> None:
    """How many tasks a second are created many at a time."""
    requests = bulk_requests(batch, data_bytes)
    jobs = [line.encode() for line in requests[0].body.splitlines()]
    study = Study(
        name="bulk",
        title=f"Creating tasks {batch:,} at a time",
        subjects=[
            Subject(YARDSTICK, partial(on_beanstalkd, harness, jobs, batch, connections, seconds)),
            Subject("taskd", partial(on_daemon, harness, requests, batch, connections, seconds)),
        ],
        settings={
            "connections": connections,
            "seconds": seconds,
            "bytes of data": data_bytes,
            "durable": "yes",
        },
        plotted=("tasks/s",),
        comparisons=[Comparison("tasks/s", [YARDSTICK])],
    )
    harness.conduct(study)
