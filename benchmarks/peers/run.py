"""Measuring another queue: put tasks in, start its worker, and let the stub say when the calls came.

The rate is taken between the first call and the last, so that starting the worker does not count. CPU time is that of
the worker's processes alone: what the broker and its database take comes on top.
"""

import subprocess
import sys
import time
from pathlib import Path

from msgspec import Struct

from benchmarks.harness.engine import AWS_ENVIRONMENT
from benchmarks.harness.lambda_stub import Tally, running_stub, tally_of
from benchmarks.harness.machine import version
from benchmarks.harness.processes import environment, session_cpu_s, stop
from benchmarks.harness.study import Figures, UnavailableError
from benchmarks.peers.brokers import POSTGRESQL, REDIS, Broker, running_broker

_POLL_S = 0.05
_STALLED_S = 60.0


class Peer(Struct, frozen=True):
    """Another queue. ``module`` has ``put_in(count)``; ``worker`` are the interpreter's arguments for a worker."""

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


def drain_with(peer: Peer, folder: Path, tasks: int) -> Figures:
    """Has ``peer`` run ``tasks`` tasks; raises ``UnavailableError`` if it or its broker is not installed."""
    missing = [name for name in peer.distributions if version(name) is None]
    if missing:
        raise UnavailableError(f"there is no {', '.join(missing)} here; install it with: pip install -e '.[bench]'")
    with running_broker(peer.broker, folder / "broker") as broker_url, running_stub() as stub_url:
        env = environment(**AWS_ENVIRONMENT, BENCHMARK_BROKER=broker_url, BENCHMARK_STUB=stub_url)
        subprocess.run(
            [sys.executable, "-c", f"from {peer.module} import put_in; put_in({tasks})"],
            env=env,
            check=True,
            cwd=folder,
        )
        return _work(peer, folder, env, tasks)


def _work(peer: Peer, folder: Path, env: dict[str, str], tasks: int) -> Figures:
    log = folder / "worker.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *peer.worker], env=env, cwd=folder, stdout=output, stderr=output, start_new_session=True
        )
    try:
        return _watch(process, env["BENCHMARK_STUB"], tasks)
    except TimeoutError:
        raise RuntimeError(f"{peer.name} got stuck:\n{log.read_text(errors='replace')[-4000:]}") from None
    finally:
        stop(process)


def _watch(process: "subprocess.Popen[bytes]", stub_url: str, tasks: int) -> Figures:
    """Waits for the last call; CPU time is taken from when the first calls have been seen."""
    first = _wait_for_calls(stub_url, 1)
    cpu_began_s = session_cpu_s(process.pid)
    last = _wait_for_calls(stub_url, tasks)
    cpu_s = session_cpu_s(process.pid) - cpu_began_s
    rate = (last.calls - 1) / (last.last_s - last.first_s)
    return {"tasks/s": rate, "CPU µs/task": cpu_s / max(1, last.calls - first.calls) * 1e6}


def _wait_for_calls(stub_url: str, wanted: int) -> Tally:
    """The tally once that many calls came in; raises ``TimeoutError`` if none come any more."""
    tally = tally_of(stub_url)
    moved_s = time.monotonic()
    while tally.calls < wanted:
        time.sleep(_POLL_S)
        before, tally = tally.calls, tally_of(stub_url)
        if tally.calls > before:
            moved_s = time.monotonic()
        elif time.monotonic() - moved_s > _STALLED_S:
            raise TimeoutError
    return tally
