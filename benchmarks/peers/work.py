"""What the tasks of the other queues do, and how it is known from outside how many have run.

``LAMBDA_CALL``: each makes a request, and the stub that answers counts them. ``NOTHING``: each does no more than leave
its moment in a file, which takes some 2 µs.
"""

import os
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache, partial
from pathlib import Path

from msgspec import Struct

from benchmarks.harness.lambda_stub import Tally, running_stub, tally_of

_MOMENT = struct.Struct("d")
_NO_STUB = "http://127.0.0.1:9"
"""Clients are made with an address, whether or not anything is sent there."""


class Watch(Struct, frozen=True):
    """Work that can be done now: the environment that workers need, and what has been done so far."""

    environment: dict[str, str]
    tally: Callable[[], Tally]


class Work(Struct, frozen=True):
    """A kind of work: the name of the task that does it, in each queue's module."""

    task: str
    watched: Callable[[Path], AbstractContextManager[Watch]]
    """By a folder of its own."""


def mark() -> None:
    """Leaves the moment: one more task has run."""
    os.write(_marks(), _MOMENT.pack(time.perf_counter()))


@cache
def _marks() -> int:
    return os.open(os.environ["BENCHMARK_MARKS"], os.O_WRONLY | os.O_APPEND)


@contextmanager
def _by_stub(_: Path) -> Iterator[Watch]:
    with running_stub() as url:
        yield Watch({"BENCHMARK_STUB": url}, partial(tally_of, url))


@contextmanager
def _by_marks(folder: Path) -> Iterator[Watch]:
    path = folder / "marks"
    path.touch()
    yield Watch({"BENCHMARK_STUB": _NO_STUB, "BENCHMARK_MARKS": str(path)}, partial(_tally_of_marks, path))


def _tally_of_marks(path: Path) -> Tally:
    moments_s = [moment for (moment,) in _MOMENT.iter_unpack(path.read_bytes())]
    return Tally(len(moments_s), min(moments_s), max(moments_s)) if moments_s else Tally()


LAMBDA_CALL = Work("call", _by_stub)
NOTHING = Work("nothing", _by_marks)
