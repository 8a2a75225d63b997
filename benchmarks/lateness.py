"""How late a due task starts, on an idle daemon and on a busy one.

Idle: tasks due one by one on a daemon with the local runtime. What is measured is the first statement of the function,
in its own process, against ``startTimestamp``; so it covers the queue, the journal's sync, the runtime and the way to
the sandbox. Busy: many tasks due every second, run by the AWS runtime; what is measured is when the whole request has
come to the stub.
"""

import asyncio
import base64
import io
import time
import zipfile
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import click
import uvloop
from aiohttp import ClientSession

from benchmarks.harness.daemons import BASE_PATH, running_daemon
from benchmarks.harness.engine import open_engine
from benchmarks.harness.harness import Harness, benchmark_options, size
from benchmarks.harness.lambda_stub import running_stub, tally_of
from benchmarks.harness.processes import Server, in_fresh_process
from benchmarks.harness.study import Comparison, Figures, Study, Subject, percentiles
from taskd.model.clock import system_clock_ms
from taskd.model.task import TaskDraft

HANDLER = """
import os, time

def handler(task, context):
    now_ns = time.time_ns()
    run_log = os.open(os.environ["RUN_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(run_log, f"{task['data'].get('due_ms', 0)} {now_ns}\\n".encode())
    os.close(run_log)
"""
QUICK = {"tasks": 3, "rate_per_s": 100, "seconds": 0.2}
SPACING_MS = 25
AHEAD_MS = 500
"""How long before the first task is due the store gets them: so long, and some more for each."""
_CALL_MS = 5
_ADD_MS = 0.05


def code() -> str:
    """The function, zipped, as base64."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("index.py", HANDLER)
    return base64.b64encode(buffer.getvalue()).decode()


async def call(session: ClientSession, method: str, path: str, body: object = None) -> Any:
    """The JSON of a successful answer."""
    async with session.request(method, f"{BASE_PATH}{path}", json=body) as response:
        response.raise_for_status()
        return await response.json()


def idle(harness: Harness, tasks: int) -> Figures:
    """The distribution on an idle daemon."""
    with harness.scratch() as scratch, _daemon_that_lets_write(Path(scratch).resolve()) as daemon:
        run_log = Path(scratch).resolve() / "run-log"
        asyncio.run(_run_one_by_one(daemon.url, run_log, tasks))
        entries = [tuple(map(int, line.split())) for line in run_log.read_text().splitlines()]
    return percentiles([now_ns / 1e6 - due_ms for due_ms, now_ns in entries if due_ms])


def _daemon_that_lets_write(folder: Path) -> AbstractContextManager[Server]:
    return running_daemon(folder, more=f'[local]\nwritable = ["{folder}"]\n')


async def _run_one_by_one(url: str, run_log: Path, tasks: int) -> None:
    async with ClientSession(url) as session:
        await schedule(session, run_log, tasks)
        while (await call(session, "GET", "?in(status,new,inProgress)&limit(1)"))["page"]["total"]:
            await asyncio.sleep(0.2)


async def schedule(session: ClientSession, run_log: Path, tasks: int) -> None:
    """Deploys the function, warms its sandbox, and creates the tasks ahead of their time."""
    function = {"name": "clock", "runtime": "python3.11", "entryPoint": "index.handler", "code": code()}
    await call(
        session, "POST", "/functions", {**function, "environmentVariables": {"RUN_LOG": {"value": str(run_log)}}}
    )
    await call(session, "POST", "", {"functionName": "clock"})
    first_ms = int(time.time() * 1000) + AHEAD_MS + tasks * _CALL_MS
    for number in range(tasks):
        due_ms = first_ms + number * SPACING_MS
        body = {"functionName": "clock", "startTimestamp": due_ms, "data": {"due_ms": due_ms}}
        await call(session, "POST", "", body)


def busy(harness: Harness, rate_per_s: int, seconds: float, in_flight: int) -> Figures:
    """The distribution with ``rate_per_s`` tasks due every second, for ``seconds``."""
    with harness.scratch() as folder, running_stub() as url:
        cpu_s = in_fresh_process(run_many, Path(folder), url, rate_per_s, seconds, in_flight)
        late_ms = tally_of(url).late_ms
    return {**percentiles(late_ms), "CPU µs/task": cpu_s / len(late_ms) * 1e6}


def run_many(folder: Path, url: str, rate_per_s: int, seconds: float, in_flight: int) -> float:
    """Runs tasks that are due at even distances; returns the CPU time that it took this process."""
    return uvloop.run(_run_many(folder, url, rate_per_s, seconds, in_flight))


async def _run_many(folder: Path, url: str, rate_per_s: int, seconds: float, in_flight: int) -> float:
    count = int(rate_per_s * seconds)
    async with open_engine(folder, url, in_flight, count) as engine:
        first_ms = system_clock_ms() + AHEAD_MS + int(count * _ADD_MS)
        await engine.store.add([_due_at(first_ms + number * 1000 // rate_per_s) for number in range(count)])
        cpu_began_s = time.process_time()
        await engine.runner.start()
        await engine.ends.reached
        return time.process_time() - cpu_began_s


def _due_at(due_ms: int) -> TaskDraft:
    return TaskDraft(function_name="clock", data=b'{"due_ms":%d}' % due_ms, start_ms=due_ms)


@click.command()
@size("--tasks", 200, "How many are run one by one.", least=2)
@size("--rate-per-s", 1_000, "Tasks due every second when busy.")
@size("--seconds", 5.0, least=0.1)
@size("--in-flight", 256)
@benchmark_options
def command(harness: Harness, tasks: int, rate_per_s: int, seconds: float, in_flight: int) -> None:
    """How late a due task starts."""
    study = Study(
        name="lateness",
        title="How late tasks start",
        subjects=[
            Subject("idle, local runtime", partial(idle, harness, tasks)),
            Subject(f"{rate_per_s:,}/s, AWS runtime", partial(busy, harness, rate_per_s, seconds, in_flight)),
        ],
        settings={"tasks when idle": tasks, "seconds when busy": seconds, "in flight": in_flight},
        plotted=("p50 ms", "p99 ms"),
        comparisons=[Comparison("p50 ms", ["idle, local runtime"])],
    )
    harness.conduct(study)
