"""How fast no-op tasks are drained through real sandboxes of this machine, beside no-ops of other task queues.

What is measured is the store with its journal and catalogue, the runner and the local runtime with functions that are
confined, each a process of its own with a time limit and captured output, until every task is durably settled. The
sandboxes are warm before. The other queues run the same no-op in their workers, with no isolation at all.
"""

import asyncio
import io
import os
import zipfile
from pathlib import Path

import click
import uvloop

from benchmarks.harness.engine import open_store, running_on
from benchmarks.harness.harness import Harness, benchmark_options, size
from benchmarks.harness.populate import add_pending
from benchmarks.harness.processes import descendants_cpu_s, elapsed, in_fresh_process
from benchmarks.harness.study import Comparison, Figures, Study, Subject
from benchmarks.peers.run import PEERS, Peer, drain_with
from benchmarks.peers.work import NOTHING
from taskd.model.clock import system_clock_ms
from taskd.model.function import Function
from taskd.rql.parser import parse
from taskd.runtime.base import Invocation, Success
from taskd.runtime.local.runtime import LocalRuntime
from taskd.runtime.local.settings import LocalSettings
from taskd.store.base import TaskStore

QUICK = {"tasks": 50, "sandboxes": 2, "peers": ()}
RATE = "tasks/s"
_FASTEST, _OTHERS = ("dramatiq",), ("celery", "arq", "saq")
_NOTHING = {
    "python": ("python3.11", "index.py", "def handler(event, context):\n    return None\n"),
    "node": ("nodejs20.x", "index.js", "exports.handler = async () => null;\n"),
}
_WARM_UP_CALLS = 50
"""Of each sandbox, before what is measured: V8 compiles what runs often."""


def drained(language: str, folder: Path, tasks: int, in_flight: int, sandboxes: int) -> Figures:
    """Drains a store in ``folder`` through ``sandboxes`` processes of a language."""
    return uvloop.run(_drained(language, folder, tasks, in_flight, sandboxes))


async def _drained(language: str, folder: Path, tasks: int, in_flight: int, sandboxes: int) -> Figures:
    async with open_store(folder) as store:
        runtime = LocalRuntime(folder / "functions", LocalSettings(max_sandboxes=sandboxes))
        await runtime.start([])
        async with running_on(store, runtime, in_flight, tasks) as engine:
            function = await _deploy(runtime, store, language)
            await _warm_up(runtime, function.name, sandboxes)
            await add_pending(store, tasks, start_ms=system_clock_ms(), functions=1)
            sandboxes_began_s = descendants_cpu_s(os.getpid())
            with elapsed() as took:
                await engine.runner.start()
                await engine.ends.reached
                await _check(store, tasks)
            sandboxes_cpu_s = descendants_cpu_s(os.getpid()) - sandboxes_began_s
    return {
        RATE: tasks / took.wall_s,
        "CPU µs/task": (took.cpu_s + sandboxes_cpu_s) / tasks * 1e6,
        "of the daemon": took.cpu_s / tasks * 1e6,
    }


async def _deploy(runtime: LocalRuntime, store: TaskStore, language: str) -> Function:
    name, file, source = _NOTHING[language]
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr(file, source)
    wanted = Function("noop0", "index.handler", name, system_clock_ms(), "", time_limit_s=10)
    function = await runtime.prepare(wanted, code.getvalue())
    await runtime.deploy(function)
    await store.put_function(function, None)
    return function


async def _warm_up(runtime: LocalRuntime, name: str, sandboxes: int) -> None:
    calls = (Invocation("614b1f2d8f3c2a0012345678", name, b"{}", 60) for _ in range(sandboxes * _WARM_UP_CALLS))
    for result in await asyncio.gather(*map(runtime.invoke, calls)):
        if not isinstance(result, Success):
            raise RuntimeError(f"the function did not run: {result}")  # noqa: TRY004 - it is no mistake of a type


async def _check(store: TaskStore, tasks: int) -> None:
    complete = (await store.find(parse("status=complete&limit(1)"))).total
    if complete != tasks:
        raise RuntimeError(f"{complete} of {tasks} tasks are complete.")


@click.command()
@size("--tasks", 30_000)
@size("--in-flight", 256, "Calls at once, most of which wait for a sandbox.")
@size("--sandboxes", 16, "Processes at once.")
@size("--peer-tasks", 5_000, "How many tasks the other queues run.", least=2)
@click.option(
    "--peers",
    type=click.Choice(_FASTEST + _OTHERS),
    multiple=True,
    default=_FASTEST + _OTHERS,
    help="A queue to compare with; may be repeated.  [default: all]",
)
@benchmark_options
def command(
    harness: Harness, tasks: int, in_flight: int, sandboxes: int, peer_tasks: int, peers: tuple[str, ...]
) -> None:
    """How fast no-op tasks are drained through sandboxes of this machine, beside other queues."""
    chosen = [peer for peer in PEERS if peer.key in peers]
    study = Study(
        name="local",
        title=f"Draining {tasks:,} due no-op tasks through sandboxes",
        subjects=[
            *(_subject(harness, language, tasks, in_flight, sandboxes) for language in _NOTHING),
            *(_peer_subject(harness, peer, peer_tasks) for peer in chosen),
        ],
        settings={"in flight": in_flight, "sandboxes": sandboxes, **_peer_settings(chosen, peer_tasks)},
        plotted=(RATE, "CPU µs/task"),
        comparisons=[
            Comparison(RATE, [peer.name for peer in chosen if peer.key in group]) for group in (_FASTEST, _OTHERS)
        ],
    )
    harness.conduct(study, sorted({name for peer in chosen for name in peer.distributions}))


def _subject(harness: Harness, language: str, tasks: int, in_flight: int, sandboxes: int) -> Subject:
    def measure() -> Figures:
        with harness.scratch() as folder:
            return in_fresh_process(drained, language, Path(folder), tasks, in_flight, sandboxes)

    return Subject(f"taskd, {language}", measure)


def _peer_settings(chosen: list[Peer], tasks: int) -> dict[str, object]:
    brokers = sorted({peer.broker.settings for peer in chosen})
    return {"tasks of other queues": tasks, "brokers": "; ".join(brokers)} if chosen else {}


def _peer_subject(harness: Harness, peer: Peer, tasks: int) -> Subject:
    def measure() -> Figures:
        with harness.scratch() as folder:
            return drain_with(peer, Path(folder), tasks, NOTHING)

    return Subject(peer.name, measure)
