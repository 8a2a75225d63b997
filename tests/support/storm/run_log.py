"""What functions of a storm write down: one line for each run, at the moment it begins."""

import os
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from support.functions.zips import python_zip

from taskd.model.clock import system_clock_ms

RUN_LOGGER = python_zip("""
import os, time

class Flaky(Exception): pass

def handler(task, context):
    run_log = os.open(os.environ["RUN_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(run_log, f"{task['id']} {time.time_ns() // 1_000_000}\\n".encode())  # one write: whole or not at all
    os.close(run_log)
    time.sleep(task["data"]["ms"] / 1000)
    if task["data"]["fails"] and len(task.get("retryForTaskIds", [])) < 1:
        raise Flaky("once " * task["data"].get("words", 1))
""")
"""A function that writes to the file ``RUN_LOG``, takes ``ms`` milliseconds, and may fail once, in ``words``."""


class Run(NamedTuple):
    """A run of a task; ``begin_ms`` is of the machine's clock, which no storm sets."""

    task_id: str
    begin_ms: int


class RunLog:
    """The runs that there have been, in a file that outlives every process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def append(self, task_id: str) -> None:
        """A run begins, in the test's own process."""
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        os.write(fd, f"{task_id} {system_clock_ms()}\n".encode())
        os.close(fd)

    def runs(self) -> list[Run]:
        """Every run so far, also of one that goes on."""
        rows = (line.split() for line in self.path.read_text().splitlines())
        return [Run(task_id, int(begin_ms)) for task_id, begin_ms in rows]

    def counts(self) -> Counter[str]:
        """How often each task has run."""
        return Counter(run.task_id for run in self.runs())
