"""Processes beside the benchmark: fresh ones to measure in, servers, and what they cost."""

import multiprocessing
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, ParamSpec, TypeVar

from msgspec import Struct

P = ParamSpec("P")
T = TypeVar("T")

_ROOT = Path(__file__).resolve().parents[2]
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_STOP_TIMEOUT_S = 30.0


class Server(NamedTuple):
    """A server that answers."""

    url: str
    pid: int


def in_fresh_process(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What ``function`` returns in a process of its own, where nothing has been allocated or warmed up before."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.harness.engine"])
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *args, **kwargs).result()


def environment(**more: str) -> dict[str, str]:
    """The environment of a child: ours and ``more``, and able to import this package from any folder."""
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, **more}


@contextmanager
def serving(command: Sequence[str], log: Path, env: dict[str, str] | None = None) -> Iterator[Server]:
    """A server while the context lasts: its first line of output ends with the URL it answers on.

    :raises RuntimeError: when it ends without one; the message holds what it wrote to standard error.
    """
    with (
        log.open("wb") as stderr,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=environment(**(env or {}))
        ) as process,
    ):
        try:
            assert process.stdout is not None
            words = process.stdout.readline().split()
            if not words:
                raise RuntimeError(f"{' '.join(command)} did not start:\n{log.read_text(errors='replace')}")
            yield Server(words[-1], process.pid)
        finally:
            stop(process)


def stop(process: "subprocess.Popen[str] | subprocess.Popen[bytes]") -> None:
    """Asks a process to end, waits, and ends it if it does not."""
    process.terminate()
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Elapsed(Struct):
    """What a block has taken of this process."""

    wall_s: float = 0.0
    cpu_s: float = 0.0


@contextmanager
def elapsed() -> Iterator[Elapsed]:
    """Measures its block; the figures are there when it has ended."""
    figures = Elapsed()
    wall_began_s, cpu_began_s = time.perf_counter(), time.process_time()
    yield figures
    figures.wall_s, figures.cpu_s = time.perf_counter() - wall_began_s, time.process_time() - cpu_began_s


def cpu_s(pid: int) -> float:
    """CPU time that a process has taken so far."""
    return _ticks(_stat(Path("/proc") / str(pid))) / _TICKS_PER_S


def session_cpu_s(pid: int) -> float:
    """CPU time so far of all living processes of the session that ``pid`` leads."""
    stats = (_stat(path) for path in Path("/proc").glob("[0-9]*"))
    return sum(_ticks(stat) for stat in stats if stat and int(stat[3]) == pid) / _TICKS_PER_S


def descendants_cpu_s(pid: int) -> float:
    """CPU time so far of all living processes that ``pid`` has started, or those that these have."""
    stats = {int(path.name): _stat(path) for path in Path("/proc").glob("[0-9]*")}
    found = {pid}
    while more := {child for child, stat in stats.items() if stat and int(stat[1]) in found} - found:
        found |= more
    return sum(_ticks(stats[child]) for child in found - {pid}) / _TICKS_PER_S


def resident_bytes() -> int:
    """Memory of this process that is resident now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def peak_resident_bytes(pid: int) -> int:
    """The most memory of a process that was resident at any time."""
    return _status_bytes(pid, "VmHWM")


def anonymous_bytes(pid: int) -> int:
    """Memory of a process that is resident now and no part of a file."""
    return _status_bytes(pid, "RssAnon")


def _status_bytes(pid: int, name: str) -> int:
    status = (Path("/proc") / str(pid) / "status").read_text()
    return int(status.partition(f"{name}:")[2].split()[0]) * 1024


def _stat(process: Path) -> list[str]:
    """The fields of ``/proc/<pid>/stat`` behind the name, from the state on; none if the process has ended."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _ticks(stat: list[str]) -> int:
    return int(stat[11]) + int(stat[12]) if stat else 0
