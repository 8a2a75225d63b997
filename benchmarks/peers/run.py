"""Measuring another queue: put tasks in, start its worker, and see from outside when they ran.

The rate is taken between the first task and the last, so that starting the worker does not count. CPU time is that of
the worker's processes alone: what the broker and its database take comes on top.
"""

import subprocess
import sys
import time
from pathlib import Path

from msgspec import Struct

from benchmarks.harness.engine import AWS_ENVIRONMENT
from benchmarks.harness.lambda_stub import Tally
from benchmarks.harness.machine import version
from benchmarks.harness.processes import environment, session_cpu_s, stop
from benchmarks.harness.study import Figures, UnavailableError
from benchmarks.peers.brokers import POSTGRESQL, REDIS, Broker, running_broker
from benchmarks.peers.work import LAMBDA_CALL, Watch, Work

_POLL_S = 0.05
_STALLED_S = 60.0


class Peer(Struct, frozen=True):
    """Another queue. ``module`` has ``put_in(count, task)``; ``worker`` are a worker's arguments."""

    key: str
    name: str
    distributions: tuple[str, ...]
    broker: Broker
    module: str
    worker: tuple[str, ...]


def _peer(key: str, name: str, broker: Broker, *worker: str, distributions: tuple[str, ...]) -> Peer:
    return Peer(key, name, distributions, broker, f"benchmarks.peers.{key}_app", worker)


PEERS = (
    _peer(
        *("celery", "Celery -c 2", REDIS),
        *("-m", "celery", "-A", "benchmarks.peers.celery_app", "worker", "-c", "2", "--loglevel", "ERROR"),
        distributions=("celery", "redis", "boto3"),
    ),
    _peer(
        *("arq", "arq", REDIS),
        *("-m", "arq", "benchmarks.peers.arq_app.WorkerSettings"),
        distributions=("arq", "aiobotocore"),
    ),
    _peer(
        *("saq", "SAQ", REDIS),
        *("-m", "saq", "benchmarks.peers.saq_app.settings"),
        distributions=("saq", "aiobotocore"),
    ),
    _peer(
        *("dramatiq", "Dramatiq -p 2 -t 8", REDIS),
        *("-m", "dramatiq", "benchmarks.peers.dramatiq_app", "-p", "2", "-t", "8"),
        distributions=("dramatiq", "redis", "boto3"),
    ),
    _peer(
        *("procrastinate", "Procrastinate", POSTGRESQL),
        *("-c", "from benchmarks.peers.procrastinate_app import work; work()"),
        distributions=("procrastinate", "psycopg", "aiobotocore"),
    ),
)


def drain_with(peer: Peer, folder: Path, tasks: int, work: Work = LAMBDA_CALL) -> Figures:
    """Has ``peer`` run ``tasks`` tasks; raises ``UnavailableError`` if it or its broker is not installed."""
    missing = [name for name in peer.distributions if version(name) is None]
    if missing:
        raise UnavailableError(f"there is no {', '.join(missing)} here; install it with: pip install -e '.[bench]'")
    with running_broker(peer.broker, folder / "broker") as broker_url, work.watched(folder) as watch:
        env = environment(**AWS_ENVIRONMENT, BENCHMARK_BROKER=broker_url, **watch.environment)
        subprocess.run(
            [sys.executable, "-c", f"from {peer.module} import put_in; put_in({tasks}, {work.task!r})"],
            env=env,
            check=True,
            cwd=folder,
        )
        return _work(peer, folder, env, watch, tasks)


def _work(peer: Peer, folder: Path, env: dict[str, str], watch: Watch, tasks: int) -> Figures:
    log = folder / "worker.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *peer.worker], env=env, cwd=folder, stdout=output, stderr=output, start_new_session=True
        )
    try:
        return _measure(process, watch, tasks)
    except TimeoutError:
        raise RuntimeError(f"{peer.name} got stuck:\n{log.read_text(errors='replace')[-4000:]}") from None
    finally:
        stop(process)


def _measure(process: "subprocess.Popen[bytes]", watch: Watch, tasks: int) -> Figures:
    """Waits for the last task; CPU time is taken from when the first have been seen."""
    first = _wait_for_tasks(watch, 1)
    cpu_began_s = session_cpu_s(process.pid)
    last = _wait_for_tasks(watch, tasks)
    cpu_s = session_cpu_s(process.pid) - cpu_began_s
    rate = (last.calls - 1) / (last.last_s - last.first_s)
    return {"tasks/s": rate, "CPU µs/task": cpu_s / max(1, last.calls - first.calls) * 1e6}


def _wait_for_tasks(watch: Watch, wanted: int) -> Tally:
    """The tally once that many have run; raises ``TimeoutError`` if none come any more."""
    tally = watch.tally()
    moved_s = time.monotonic()
    while tally.calls < wanted:
        time.sleep(_POLL_S)
        before, tally = tally.calls, watch.tally()
        if tally.calls > before:
            moved_s = time.monotonic()
        elif time.monotonic() - moved_s > _STALLED_S:
            raise TimeoutError
    return tally
