"""Functions of a storm that have start rules, and what the runs that they wrote down say of how these were kept.

A run that nobody heard the end of counts for as long as its place is promised to be taken: from its start, its time
limit and a margin by the daemon's clock. Whether it was over before, nobody could know.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from support.daemon.shifted_clock import ShiftedClock
from support.storm.run_log import Run
from support.storm.schedule_grid import Record

from taskd.model.limits import ZOMBIE_MARGIN_S

TIME_LIMIT_S = 10
TOTAL = 3
PER_KEY = 1
LANES = 3
LIMITED_MS = 300
"""How long the limited function takes at least: so it is busy, and kills leave places taken."""
INTERVAL_MS = 20_000
BURST = 1
LIMITED = "limited"
THROTTLED = "throttled"
RULES: Mapping[str, Record] = {
    LIMITED: {"concurrency": {"total": TOTAL, "perKey": PER_KEY, "key": "data.lane"}},
    THROTTLED: {"throttle": {"limit": 60_000 // INTERVAL_MS, "periodSeconds": 60, "burst": BURST}},
}
"""The execution options of these functions."""
START_DELAY_MAX_MS = 10_000
"""At most this long from a task's start to the first line of its function, on a machine that is busy."""


class Occupied(NamedTuple):
    """A place of the limited function, by the machine's clock."""

    begin_ms: int
    until_ms: int
    lane: object
    task_id: str


def verify_start_rules(runs: Sequence[Run], tasks: Mapping[str, Record], clock: ShiftedClock) -> None:
    """Asserts that never more ran at once, or started in any time, than the rules allow."""
    _verify_concurrency([_occupied(run, tasks[run.task_id], clock) for run in _runs_of(LIMITED, runs, tasks)])
    _verify_throttle([run.begin_ms for run in _runs_of(THROTTLED, runs, tasks)], clock)


def _runs_of(function_name: str, runs: Iterable[Run], tasks: Mapping[str, Record]) -> list[Run]:
    """In the order in which they began."""
    mine = [run for run in runs if tasks.get(run.task_id, {}).get("functionName") == function_name]
    return sorted(mine, key=lambda run: run.begin_ms)


def _occupied(run: Run, task: Record, clock: ShiftedClock) -> Occupied:
    return Occupied(run.begin_ms, _until_ms(run, task, clock), task["data"]["lane"], run.task_id)


def _until_ms(run: Run, task: Record, clock: ShiftedClock) -> int:
    """When others may have its place, at the earliest; where the daemon saw it end without a word, at once."""
    is_zombie = task.get("error", {}).get("name") == "zombieTaskCleaned"
    if is_zombie or (task["status"] == "inProgress" and run.end_ms is None):
        claimed_ms = clock.earliest_ms(run.begin_ms, START_DELAY_MAX_MS)
        return clock.reached_ms(claimed_ms + int((TIME_LIMIT_S + ZOMBIE_MARGIN_S) * 1000), run.begin_ms)
    return run.begin_ms if run.end_ms is None else run.end_ms


def _verify_concurrency(places: Sequence[Occupied]) -> None:
    for number, place in enumerate(places):
        taken = [other for other in places[:number] if other.until_ms > place.begin_ms]
        assert len(taken) < TOTAL, f"{place} began beside {taken}"
        of_lane = Counter(other.lane for other in taken)[place.lane]
        assert of_lane < PER_KEY, f"{place} began beside one of its lane: {taken}"


def _verify_throttle(begins_ms: Sequence[int], clock: ShiftedClock) -> None:
    """In any time at most the burst, and one for each interval in it; a clock set ahead is time gone by, too."""
    for number, last_ms in enumerate(begins_ms):
        for before, first_ms in enumerate(begins_ms[:number]):
            began_ms = first_ms - START_DELAY_MAX_MS
            ahead_ms = sum(min(by_ms, BURST * INTERVAL_MS) for by_ms in clock.set_ahead_ms(began_ms, last_ms))
            allowed = BURST + (last_ms - began_ms + ahead_ms) // INTERVAL_MS
            assert number - before + 1 <= allowed, f"{number - before + 1} began in {last_ms - first_ms} ms"
