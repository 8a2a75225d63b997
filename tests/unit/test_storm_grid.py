"""What storms hold against schedules: their check sees what is missing, double, early or beside the grid."""

import pytest
from support.storm.schedule_grid import Grid, Record

from taskd.model.timestamps import format_ms

MINUTE_MS = 60_000
START_MS = 1_790_000_040_000
"""A whole minute."""


def schedule(next_minute: int, **more: object) -> Record:
    start, following = format_ms(START_MS - 1), format_ms(START_MS + next_minute * MINUTE_MS)
    return {"id": "s", "cron": "* * * * *", "startTimestamp": start, "nextTimestamp": following, **more}


def task(due_ms: int, late_ms: int = 0) -> Record:
    return {
        "startTimestamp": format_ms(START_MS + due_ms),
        "creationTimestamp": format_ms(START_MS + due_ms + late_ms),
    }


def test_each_minute_is_as_it_should_be_and_one_task_may_stand_for_those_that_had_passed() -> None:
    Grid(schedule(5)).check([task(0), task(MINUTE_MS, 3 * MINUTE_MS)])
    Grid(schedule(2, catchUpSeconds=600)).check([task(0, MINUTE_MS), task(MINUTE_MS)])


@pytest.mark.parametrize(
    ("broken", "tasks", "complaint"),
    [
        (schedule(3), [task(0), task(2 * MINUTE_MS)], "missed"),
        (schedule(2), [task(0)], "missed"),
        (schedule(1), [task(0), task(0)], "twice"),
        (schedule(1), [task(1_000)], "left its grid"),
        (schedule(1), [task(0, -1)], "before its time"),
        (schedule(3, catchUpSeconds=600), [task(0, 2 * MINUTE_MS)], "missed"),
    ],
    ids=["missing", "missing at the end", "double", "beside the grid", "early", "not made up for"],
)
def test_what_is_wrong_is_seen(broken: Record, tasks: list[Record], complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        Grid(broken).check(tasks)
