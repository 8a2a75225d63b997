"""What functions of a storm write down: a line at the moment at which a run begins, and another when it ends."""

import os
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from support.functions.zips import python_zip

from taskd.model.clock import system_clock_ms

RUN_LOGGER = python_zip("""
import os, time

class Flaky(Exception): pass

class Fatal(Exception): pass

def note(task, *what):
    run_log = os.open(os.environ["RUN_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    line = " ".join([task["id"], str(time.time_ns() // 1_000_000), *what])
    os.write(run_log, f"{line}\\n".encode())  # one write: whole or not at all
    os.close(run_log)

def handler(task, context):
    note(task)
    time.sleep(task["data"]["ms"] / 1000)
    note(task, "end")
    if task["data"].get("fatal"):
        raise Fatal("always")
    if task["data"]["fails"] and len(task.get("retryForTaskIds", [])) < 1:
        raise Flaky("once " * task["data"].get("words", 1))
""")
"""A function that writes to the file ``RUN_LOG`` and takes ``ms`` milliseconds.

It may fail once, in ``words``, or whenever it runs.
"""


class Run(NamedTuple):
    """A run of a task. Its times are of the machine's clock, which no storm sets."""

    task_id: str
    begin_ms: int
    end_ms: int | None = None
    """``None`` while it goes on, and where it was killed."""


class RunLog:
    """The runs that there have been, in a file that outlives every process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def begin(self, task_id: str) -> None:
        """A run begins, in the test's own process."""
        self._append(f"{task_id} {system_clock_ms()}\n")

    def end(self, task_id: str) -> None:
        """That run is over."""
        self._append(f"{task_id} {system_clock_ms()} end\n")

    def _append(self, line: str) -> None:
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        os.write(fd, line.encode())
        os.close(fd)

    def runs(self) -> list[Run]:
        """Every run so far, also of one that goes on."""
        rows = [line.split() for line in self.path.read_text().splitlines()]
        ends = {row[0]: int(row[1]) for row in rows if row[2:]}
        return [Run(task_id, int(begin_ms), ends.get(task_id)) for task_id, begin_ms, *is_end in rows if not is_end]

    def counts(self) -> Counter[str]:
        """How often each task has run."""
        return Counter(run.task_id for run in self.runs())
