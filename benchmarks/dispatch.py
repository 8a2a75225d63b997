"""How fast due tasks are drained, beside a bare loop of the same signed requests, and beside other task queues.

What is measured is the store with its journal and catalogue, the runner and the AWS runtime, against a stub of
Lambda in a process of its own, until every task is durably settled and can be read in a listing. The bare loop sends
the same requests through the same client with no queue at all. The other queues run a task each that makes the same
request with the library that their users would take.
"""

from functools import partial
from pathlib import Path

import click
import uvloop

from benchmarks.harness.bare_loop import bare_loop
from benchmarks.harness.engine import Engine, open_engine
from benchmarks.harness.harness import Harness, benchmark_options, size
from benchmarks.harness.lambda_stub import running_stub
from benchmarks.harness.populate import add_pending
from benchmarks.harness.processes import elapsed, in_fresh_process
from benchmarks.harness.study import Comparison, Figures, Study, Subject
from benchmarks.peers.run import PEERS, Peer, drain_with
from taskd.model.clock import system_clock_ms
from taskd.rql.parser import parse

QUICK = {"tasks": 200, "peers": ()}
BARE_LOOP = "bare loop"
RATE = "tasks/s"


def drained(url: str, folder: Path, tasks: int, in_flight: int) -> Figures:
    """Fills a store in ``folder``, then drains it."""
    return uvloop.run(_drained(url, folder, tasks, in_flight))


def sent(url: str, requests: int, in_flight: int) -> Figures:
    """The bare loop."""
    measure = uvloop.run(bare_loop(url, requests, in_flight))
    return {RATE: measure.per_second, "CPU µs/task": measure.cpu_ms_each * 1000}


async def _drained(url: str, folder: Path, tasks: int, in_flight: int) -> Figures:
    async with open_engine(folder, url, in_flight, tasks) as engine:
        await add_pending(engine.store, tasks, start_ms=system_clock_ms())
        with elapsed() as took:
            await _drain(engine, tasks)
    return {RATE: tasks / took.wall_s, "CPU µs/task": took.cpu_s / tasks * 1e6}


async def _drain(engine: Engine, tasks: int) -> None:
    """Returns when as many tasks are complete, which a listing says."""
    await engine.runner.start()
    await engine.ends.reached
    complete = (await engine.store.find(parse("status=complete&limit(1)"))).total
    if complete != tasks:
        raise RuntimeError(f"{complete} of {tasks} tasks are complete: the stub did not answer as it should.")


def _subjects(harness: Harness, url: str, tasks: int, in_flight: int) -> list[Subject]:
    def drain_in_new_folder() -> Figures:
        with harness.scratch() as folder:
            return in_fresh_process(drained, url, Path(folder), tasks, in_flight)

    return [
        Subject(BARE_LOOP, partial(in_fresh_process, sent, url, tasks, in_flight)),
        Subject("taskd", drain_in_new_folder),
    ]


@click.command()
@size("--tasks", 20_000)
@size("--in-flight", 256, "Requests at once; the other queues have their own.")
@size("--peer-tasks", 2_000, "How many tasks the other queues run.", least=2)
@click.option(
    "--peers",
    type=click.Choice([peer.key for peer in PEERS]),
    multiple=True,
    default=[peer.key for peer in PEERS],
    help="A queue to compare with; may be repeated.  [default: all]",
)
@benchmark_options
def command(harness: Harness, tasks: int, in_flight: int, peer_tasks: int, peers: tuple[str, ...]) -> None:
    """How fast due tasks are drained, beside a bare loop and other queues."""
    chosen = [peer for peer in PEERS if peer.key in peers]
    with running_stub() as url:
        study = Study(
            name="dispatch",
            title=f"Draining {tasks:,} due tasks",
            subjects=[
                *_subjects(harness, url, tasks, in_flight),
                *(_subject(harness, peer, peer_tasks) for peer in chosen),
            ],
            settings={"in flight": in_flight, **_peer_settings(chosen, peer_tasks)},
            plotted=(RATE, "CPU µs/task"),
            comparisons=[Comparison(RATE, [BARE_LOOP]), Comparison(RATE, [peer.name for peer in chosen])],
        )
        harness.conduct(study, sorted({name for peer in chosen for name in peer.distributions}))


def _subject(harness: Harness, peer: Peer, tasks: int) -> Subject:
    def measure() -> Figures:
        with harness.scratch() as folder:
            return drain_with(peer, Path(folder), tasks)

    return Subject(peer.name, measure)


def _peer_settings(chosen: list[Peer], tasks: int) -> dict[str, object]:
    if not chosen:
        return {}
    brokers = {peer.broker.settings for peer in chosen}
    return {"tasks of other queues": tasks, "brokers": "; ".join(sorted(brokers))}
