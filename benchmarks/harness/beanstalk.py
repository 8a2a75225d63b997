"""Putting jobs into beanstalkd as fast as it takes them: raw connections, many commands before the answers are read."""

import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.harness.study import Figures
from benchmarks.peers.brokers import BEANSTALKD, running_broker

_PUT = b"put 0 3600 60 %d\r\n%b\r\n"
_INSERTED = b"INSERTED "


def put(folder: Path, jobs: Sequence[bytes], at_once: int, connections: int, seconds: float) -> Figures:
    """Puts ``jobs`` again and again, ``at_once`` before their answers are read, on each of several connections."""
    batches = [
        b"".join(_PUT % (len(job), job) for job in jobs[begin : begin + at_once])
        for begin in range(0, len(jobs), at_once)
    ]
    with running_broker(BEANSTALKD, folder / "beanstalkd") as address, ThreadPoolExecutor(connections) as threads:
        began_s = time.perf_counter()
        until_s = began_s + seconds
        counts = threads.map(lambda _: _put_until(address, batches, until_s), range(connections))
        done = sum(counts)
        return {"tasks/s": done / (time.perf_counter() - began_s)}


def _put_until(address: str, batches: Sequence[bytes], until_s: float) -> int:
    """Puts batches in turn until that moment; returns how many jobs were put."""
    host, _, port = address.partition(":")
    done = 0
    with socket.create_connection((host, int(port))) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while time.perf_counter() < until_s:
            for batch in batches:
                connection.sendall(batch)
                done += _read_answers(connection, batch.count(b"put 0 "))
    return done


def _read_answers(connection: socket.socket, count: int) -> int:
    """Reads ``count`` answers; raises ``RuntimeError`` for any that refuses."""
    answers = bytearray()
    while answers.count(b"\r\n") < count:
        chunk = connection.recv(1 << 16)
        if not chunk:
            raise RuntimeError("beanstalkd closed the connection")
        answers += chunk
    if answers.count(_INSERTED) != count:
        raise RuntimeError(f"beanstalkd refused a job: {bytes(answers[:200])!r}")
    return count
