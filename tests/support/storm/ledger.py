"""What clients of a storm were told, and what they saw; compared with what the service and its functions say."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from support.daemon.shifted_clock import ShiftedClock
from support.storm.run_log import Run
from support.storm.schedule_grid import Grid, Record, moment_ms
from support.storm.start_rules import verify_start_rules
from support.storm.unique import UniqueTasks

FINAL = {"complete", "failed", "retried", "canceled"}
RUN_DELAY_MAX_MS = 15_000
"""At most this long from a task's turn to the first line of its function, on a machine that is busy."""


class ServiceState(NamedTuple):
    """What the service and its functions say at one moment: schedules, then tasks, between the runs."""

    runs_before: Counter[str]
    schedules: Sequence[Record]
    tasks: dict[str, Record]
    runs: Sequence[Run]

    @property
    def runs_after(self) -> Counter[str]:
        return Counter(run.task_id for run in self.runs)


class Acknowledged(NamedTuple):
    """What clients had been told at one moment."""

    created: frozenset[str]
    canceled: frozenset[str]
    moment: int


class Ledger:
    """What all clients of one storm were told."""

    def __init__(self, clock: ShiftedClock) -> None:
        self._clock = clock
        self.attempts: Counter[str] = Counter()
        """Creations sent, by the key that the task carries in its data."""
        self.created: set[str] = set()
        """Tasks whose creation was acknowledged."""
        self.canceled: set[str] = set()
        """Tasks whose cancelling was acknowledged."""
        self.unique = UniqueTasks()
        self.far: dict[str, str] = {}
        """Tasks that lie far ahead and that no client cancels, and what each is tagged with."""
        self.ends: dict[str, Record] = {}
        """Tasks as they were when they were first seen to have ended."""

    def acknowledged(self) -> Acknowledged:
        """What clients have been told by now."""
        return Acknowledged(frozenset(self.created), frozenset(self.canceled), self.unique.moment())

    def verify(self, acknowledged: Acknowledged, state: ServiceState) -> None:
        """Asserts every promise; what was ``acknowledged`` was so before the listing began."""
        (created, canceled, moment), tasks = acknowledged, state.tasks
        assert created <= set(tasks), f"acknowledged tasks are missing: {created - set(tasks)}"
        originals = [task for task in tasks.values() if "retryForTaskIds" not in task]
        made = Counter(task["data"]["key"] for task in originals if "scheduleId" not in task)
        assert all(made[key] <= self.attempts[key] for key in made), "tasks were invented"
        assert set(state.runs_before) <= set(tasks), "something ran that is no task"
        not_canceled = [task_id for task_id in canceled if tasks[task_id]["status"] != "canceled"]
        assert not not_canceled, f"canceled tasks went on: {not_canceled}"
        runs_after = state.runs_after
        for task_id, task in tasks.items():
            self._verify_end(task_id, task)
            _verify_runs(task, state.runs_before[task_id], runs_after[task_id])
            _verify_links(task, tasks)
        self._verify_starts(state)
        self.unique.verify(moment, tasks, state.runs)
        verify_start_rules(state.runs, tasks, self._clock)
        _verify_schedules(state.schedules, originals)

    def failed_with(self, tag: str) -> set[str]:
        """Tasks with this tag that were seen to fail for good."""
        return {key for key, task in self.ends.items() if task["status"] == "failed" and tag in task["tags"]}

    def waiting_far(self, tag: str) -> set[str]:
        """Tasks with this tag that were acknowledged to wait for a time far ahead."""
        return {task_id for task_id, its_tag in self.far.items() if its_tag == tag}

    def verify_final(self, tasks: dict[str, Record], retried_errors: frozenset[str]) -> None:
        """Asserts what is true when nothing waits or runs any more: all came to an end that fits how it ran."""
        for task in tasks.values():
            what = f"{task}"
            assert task["status"] in FINAL, f"without an end: {what}"
            assert ("error" in task) == (task["status"] in ("failed", "retried")), what
            assert ("retriedByTaskId" in task) == (task["status"] == "retried"), what
            if "retriedByTaskId" in task:
                assert task["retriedByTaskId"] in tasks, f"the retry is missing: {what}"
            if task["status"] == "failed":
                assert task["error"]["name"] not in retried_errors, f"was not retried: {what}"
            if task["status"] == "complete":
                assert not _cannot_succeed(task), f"cannot have succeeded: {what}"

    def _verify_end(self, task_id: str, task: Record) -> None:
        """Nothing leaves a final status, and nothing about the task changes after it, but that it is replayed."""
        if task["status"] in FINAL:
            task = {name: value for name, value in task.items() if name != "replayedByTaskId"}
            assert self.ends.setdefault(task_id, task) == task, f"{self.ends[task_id]} became {task}"
        else:
            assert task_id not in self.ends, f"{self.ends[task_id]} became {task}"

    def _verify_starts(self, state: ServiceState) -> None:
        """Nothing ran before its time had come, by the clock that the daemon goes by."""
        for run in state.runs:
            if run.task_id in state.tasks:
                start_ms = moment_ms(state.tasks[run.task_id], "startTimestamp")
                shown_ms = self._clock.latest_ms(run.begin_ms, RUN_DELAY_MAX_MS)
                assert start_ms <= shown_ms, f"{run.task_id} ran {start_ms - shown_ms} ms before its time"


def _cannot_succeed(task: Record) -> bool:
    """Whether its function raises an error for it."""
    return task["data"].get("fatal", False) or (task["data"]["fails"] and "retryForTaskIds" not in task)


def _verify_runs(task: Record, runs_before: int, runs_after: int) -> None:
    status, task_id = task["status"], task["id"]
    assert runs_after <= 1, f"ran {runs_after} times: {task}"
    if status in ("canceled", "new"):
        assert not runs_before, f"{task_id} is {status} and has run"
    if status in ("complete", "retried"):
        assert runs_after, f"{task_id} is {status} and never ran"


def _verify_links(task: Record, tasks: dict[str, Record]) -> None:
    """A task and its retry name each other; the listing may have seen one of them before they were linked."""
    if "retriedByTaskId" in task and task["retriedByTaskId"] in tasks:
        assert tasks[task["retriedByTaskId"]]["retryForTaskIds"][-1] == task["id"], task
    for place, retried in enumerate(task.get("retryForTaskIds", [])):
        assert tasks[retried].get("retryForTaskIds", []) == task["retryForTaskIds"][:place], task
        if tasks[retried]["status"] in FINAL and retried == task["retryForTaskIds"][-1]:
            assert tasks[retried].get("retriedByTaskId") == task["id"], task
        assert tasks[retried]["data"] == task["data"] or "unique" in task, task  # which may have been replaced


def _verify_schedules(schedules: Sequence[Record], originals: Sequence[Record]) -> None:
    made = defaultdict(list)
    for task in originals:
        if "scheduleId" in task:
            made[task["scheduleId"]].append(task)
    known = {schedule["id"] for schedule in schedules}
    assert set(made) <= known, f"made by no schedule: {set(made) - known}"
    for schedule in schedules:
        Grid(schedule).check(made[schedule["id"]])
