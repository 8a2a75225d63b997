"""How many tasks a second are created with a request each, durable when the answer leaves, on a real daemon.

The yardstick is an aiohttp server that only decodes the same body and answers: what is missing to it is the price of
checking, journaling, queueing and listing. Tasks start in an hour, so that none runs meanwhile.
"""

import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from urllib.request import urlopen

import click

from benchmarks.harness.daemons import BASE_PATH, running_daemon
from benchmarks.harness.harness import Harness, benchmark_options, size
from benchmarks.harness.load import Plan, Request, Stream, send
from benchmarks.harness.populate import HOUR_MS, body
from benchmarks.harness.processes import Server, cpu_s, serving
from benchmarks.harness.study import Comparison, Figures, Study, Subject, percentiles
from taskd.model.clock import system_clock_ms

QUICK = {"seconds": 0.1, "connections": 2}
TRIVIAL = "aiohttp alone"
_WARM_UP = 0.2
"""Part of the time that is spent before what is measured."""


def posted(
    server: Server,
    requests: Sequence[Request],
    connections: int,
    seconds: float,
    check: Callable[[int], None] = lambda _: None,
) -> Figures:
    """Sends ``requests`` in turn as fast as they are answered; figures are those of requests.

    ``check`` gets how many were answered well in all, before the CPU time is taken.
    """
    stream = Stream(requests, connections)
    cpu_began_s = cpu_s(server.pid)
    [answers] = send(Plan(server.url, seconds, [stream], warm_up_s=seconds * _WARM_UP))
    check(answers.warm_up + answers.ok)
    cpu_each_s = (cpu_s(server.pid) - cpu_began_s) / (answers.warm_up + answers.ok)
    return {"requests/s": answers.ok / seconds, "CPU µs/request": cpu_each_s * 1e6, **percentiles(answers.latencies_ms)}


def require_listed(server: Server, tasks: int) -> None:
    """Waits until a listing shows all that was created; raises ``RuntimeError`` if it is less than ``tasks``."""
    with urlopen(f"{server.url}{BASE_PATH}?limit(1)") as response:
        total = json.load(response)["page"]["total"]
    if total < tasks:
        raise RuntimeError(f"{tasks} tasks were acknowledged, but only {total} are there.")


def on_daemon(harness: Harness, requests: Sequence[Request], connections: int, seconds: float) -> Figures:
    """Sends ``requests`` to a daemon."""
    with harness.scratch() as folder, running_daemon(Path(folder)) as daemon:
        return posted(daemon, requests, connections, seconds, partial(require_listed, daemon))


def on_trivial_server(harness: Harness, requests: Sequence[Request], connections: int, seconds: float) -> Figures:
    """Sends ``requests`` to the yardstick."""
    command = [sys.executable, "-m", "benchmarks.harness.trivial_server"]
    with harness.scratch() as folder, serving(command, Path(folder) / "trivial.log") as server:
        return posted(server, requests, connections, seconds)


@click.command()
@size("--seconds", 5.0, least=0.1)
@size("--connections", 64)
@size("--data-bytes", 100, "Size of each task's data.")
@benchmark_options
def command(harness: Harness, seconds: float, connections: int, data_bytes: int) -> None:
    """How many tasks a second are created with a request each."""
    start_ms = system_clock_ms() + HOUR_MS
    requests = [Request("POST", BASE_PATH, body(number, start_ms, data_bytes).decode()) for number in range(100)]

    study = Study(
        name="create",
        title="Creating tasks with a request each",
        subjects=[
            Subject(TRIVIAL, partial(on_trivial_server, harness, requests, connections, seconds)),
            Subject("taskd", partial(on_daemon, harness, requests, connections, seconds)),
        ],
        settings={"connections": connections, "seconds": seconds, "bytes of data": data_bytes, "durable": "yes"},
        plotted=("requests/s", "CPU µs/request"),
        comparisons=[Comparison("requests/s", [TRIVIAL])],
    )
    harness.conduct(study)
