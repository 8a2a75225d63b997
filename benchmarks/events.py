"""What an event costs that a dispatcher makes a task of, each sent with a request, on a real daemon.

The yardstick is a task created with a request, as durable and of the same size. Tasks start in an hour, so that none
runs meanwhile. Many dispatchers for events of other types are to cost nothing.
"""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from urllib.request import Request as HttpRequest
from urllib.request import urlopen

import click

from benchmarks.create import posted
from benchmarks.harness.daemons import BASE_PATH, running_daemon
from benchmarks.harness.harness import Harness, benchmark_options, size
from benchmarks.harness.load import Request
from benchmarks.harness.populate import HOUR_MS, body
from benchmarks.harness.processes import Server
from benchmarks.harness.study import Comparison, Figures, Study, Subject
from taskd.model.clock import system_clock_ms

QUICK = {"seconds": 0.1, "connections": 2, "others": 10}
TASKS = "tasks"
_TYPE = "ordered"


def require_listed(server: Server, path: str, records: int) -> None:
    """Waits until a listing shows all that was made; raises ``RuntimeError`` if it is less than ``records``."""
    with urlopen(f"{server.url}{path}?limit(1)") as response:
        total = json.load(response)["page"]["total"]
    if total < records:
        raise RuntimeError(f"{records} were acknowledged below {path}, but only {total} are there.")


def add_dispatcher(server: Server, event_type: str, start_ms: int) -> None:
    """One that makes one task."""
    action = {"type": "task", "functionName": "f", "startTimestamp": start_ms}
    content = json.dumps({"eventType": event_type, "actions": [action]}).encode()
    headers = {"Content-Type": "application/json"}
    urlopen(HttpRequest(f"{server.url}/dispatchers/v1/", content, headers)).close()


def on_daemon(
    harness: Harness, requests: Sequence[Request], connections: int, seconds: float, dispatchers: Sequence[str]
) -> Figures:
    """Sends ``requests`` to a daemon that has ``dispatchers`` for events of these types; each leads to one task."""
    with harness.scratch() as folder, running_daemon(Path(folder)) as daemon:
        for event_type in dispatchers:
            add_dispatcher(daemon, event_type, system_clock_ms() + HOUR_MS)
        return posted(daemon, requests, connections, seconds, partial(require_listed, daemon, BASE_PATH))


@click.command()
@size("--seconds", 5.0, least=0.1)
@size("--connections", 64)
@size("--data-bytes", 100, "Size of each task's data, or of each event's content.")
@size("--others", 5_000, "Dispatchers for events of other types.")
@benchmark_options
def command(harness: Harness, seconds: float, connections: int, data_bytes: int, others: int) -> None:
    """What an event costs that a dispatcher makes a task of."""
    start_ms = system_clock_ms() + HOUR_MS
    bodies = [json.loads(body(number, start_ms, data_bytes)) for number in range(100)]
    tasks = [Request("POST", BASE_PATH, json.dumps(each)) for each in bodies]
    events = [Request("POST", "/events/v1", json.dumps({"type": _TYPE, "content": each["data"]})) for each in bodies]
    other_types = [f"other-{number}" for number in range(others)]
    sending = partial(on_daemon, harness, connections=connections, seconds=seconds)
    crowd = partial(sending, events, dispatchers=[*other_types, _TYPE])
    study = Study(
        name="events",
        title="Events that a dispatcher makes a task of",
        subjects=[
            Subject(TASKS, partial(sending, tasks, dispatchers=[])),
            Subject("events", partial(sending, events, dispatchers=[_TYPE])),
            Subject(f"events, {others:,} other dispatchers", crowd),
        ],
        settings={"connections": connections, "seconds": seconds, "bytes of content": data_bytes, "durable": "yes"},
        plotted=("requests/s", "CPU µs/request"),
        comparisons=[Comparison("CPU µs/request", [TASKS])],
    )
    harness.conduct(study)
