"""How many tasks a second are created many at a time, durable when the answer leaves, on a real daemon.

The yardstick is beanstalkd syncing before it answers, with as many puts in one go as a request here has tasks.
"""

from pathlib import Path

import click

from benchmarks.beanstalk import put
from benchmarks.create import posted, require_listed
from benchmarks.daemons import BASE_PATH, running_daemon
from benchmarks.filling import HOUR_MS, body
from benchmarks.frame import Frame, benchmark_options, size
from benchmarks.load import Request
from benchmarks.peers.brokers import BEANSTALKD
from benchmarks.study import Comparison, Figures, Study, Subject
from taskd.model.clock import system_clock_ms

QUICK = {"seconds": 0.1, "batch": 20, "connections": 1}


def bulk_requests(batch: int, data_bytes: int) -> list[Request]:
    """A few different requests of ``batch`` tasks each, a task on a line."""
    start_ms = system_clock_ms() + HOUR_MS
    lines = [body(number, start_ms, data_bytes).decode() for number in range(4 * batch)]
    texts = ("\n".join(lines[begin : begin + batch]) for begin in range(0, len(lines), batch))
    return [Request("POST", f"{BASE_PATH}/bulk", text) for text in texts]


@click.command()
@size("--seconds", 5.0, least=0.1)
@size("--batch", 1_000, "Tasks in a request.")
@size("--connections", 4)
@size("--data-bytes", 100, "Size of each task's data.")
@benchmark_options
def command(frame: Frame, seconds: float, batch: int, connections: int, data_bytes: int) -> None:
    """How many tasks a second are created many at a time."""
    requests = bulk_requests(batch, data_bytes)

    def on_daemon() -> Figures:
        with frame.scratch() as folder, running_daemon(Path(folder)) as daemon:
            figures = posted(
                daemon, requests, connections, seconds, lambda answered: require_listed(daemon, answered * batch)
            )
        return {
            "tasks/s": figures.pop("requests/s") * batch,
            "CPU µs/task": figures.pop("CPU µs/request") / batch,
            **{f"request {name}": value for name, value in figures.items()},
        }

    def on_beanstalkd() -> Figures:
        jobs = [line.encode() for line in requests[0].body.splitlines()]
        with frame.scratch() as folder:
            return put(Path(folder), jobs, batch, connections, seconds)

    study = Study(
        name="bulk",
        title=f"Creating tasks {batch:,} at a time",
        subjects=[Subject("beanstalkd -f0", on_beanstalkd), Subject("taskd", on_daemon)],
        settings={
            "connections": connections,
            "seconds": seconds,
            "bytes of data": data_bytes,
            "durable": "yes",
            "yardstick": BEANSTALKD.settings,
        },
        plotted=("tasks/s",),
        comparisons=[Comparison("tasks/s", ["beanstalkd -f0"])],
    )
    frame.conduct(study)
