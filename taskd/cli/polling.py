"""Waiting for tasks: the server answers when one has ended; log lines are polled for, with exponential backoff."""

import time
from collections.abc import Callable, Iterator

from taskd.cli.client import ApiClient, ApiError, Json, segment
from taskd.cli.exit_codes import ExitCode
from taskd.model.errors import ILLEGAL_STATE, NO_LOGS
from taskd.model.limits import PAGE_LIMIT_MAX
from taskd.model.status import FINAL, Status

FIRST_DELAY_S = 0.05
LAST_DELAY_S = 1.0
_GROWTH = 1.5
CHANGES_SEEN_WITHIN_S = 1
"""A wait ends at the task's end alone; how soon other changes are seen is how long each wait is."""


def get_task(client: ApiClient, task_id: str, wait_s: int = 0) -> Json:
    """The task: as soon as it is final, or as it is after ``wait_s``."""
    task: Json = client.get(f"/{segment(task_id)}", f"wait={wait_s}" if wait_s else "")
    return task


def is_final(task: Json) -> bool:
    """Whether nothing more can become of the task."""
    return task["status"] in FINAL


def delays() -> Iterator[float]:
    """How long to wait before each further poll, in seconds."""
    delay_s = FIRST_DELAY_S
    while True:
        yield delay_s
        delay_s = min(delay_s * _GROWTH, LAST_DELAY_S)


def follow(client: ApiClient, task_id: str, on_change: Callable[[Json], None]) -> Json:
    """Calls ``on_change`` with the task now and at every change of its status seen; returns it when final."""
    seen, wait_s = None, 0
    while True:
        task = get_task(client, task_id, wait_s)
        if task["status"] != seen:
            seen = task["status"]
            on_change(task)
        if is_final(task):
            return task
        wait_s = CHANGES_SEEN_WITHIN_S


def exit_code_of(task: Json) -> ExitCode:
    """The exit code of a command that waited for ``task``."""
    ends = {Status.COMPLETE: ExitCode.OK, Status.CANCELED: ExitCode.TASK_CANCELED}
    return ends.get(task["status"], ExitCode.TASK_FAILED)


def log_lines(client: ApiClient, task_id: str, offset: int = 0) -> Iterator[Json]:
    """The task's log lines from number ``offset`` on; none where there are none or it has not run yet."""
    while True:
        lines, limit = _log_page(client, task_id, offset)
        yield from lines
        offset += len(lines)
        if len(lines) < limit:
            return


def _log_page(client: ApiClient, task_id: str, offset: int) -> tuple[list[Json], int]:
    """Lines, and how many there would be at the most: less than was asked for where they are long."""
    try:
        page = client.get(f"/{segment(task_id)}/logs", f"limit({PAGE_LIMIT_MAX},{offset})")
    except ApiError as error:
        if error.code in (NO_LOGS.code, ILLEGAL_STATE.code):
            return [], PAGE_LIMIT_MAX
        raise
    return page["data"], page["page"]["limit"]


def follow_logs(client: ApiClient, task_id: str) -> Iterator[Json]:
    """Log lines as they come, until the task is final."""
    count, waits = 0, delays()
    while True:
        final = is_final(get_task(client, task_id))  # asked first: lines written before the end are not missed
        for line in log_lines(client, task_id, count):
            count += 1
            yield line
        if final:
            return
        time.sleep(next(waits))
