"""The promise of schedules: an occurrence for each point of the grid, save those that had passed meanwhile.

A point is left out only if it had passed when the task of the one before it was made: late, after an outage or because
the clock was set ahead, one task stands for all of them. A clock that is set back makes schedules wait. A schedule
that catches up leaves out none at all, for as long as a storm can take.

What cron means is not asked of the service's own rules, but of the tests' plain ones.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from support.cron_oracle import due

from taskd.model.timestamps import parse_rfc3339

_MINUTE_MS = 60_000
_DAY = timedelta(days=1)

Record = dict[str, Any]


def moment_ms(record: Record, field: str) -> int:
    """A timestamp of a record as it came over the wire."""
    found_ms = parse_rfc3339(record[field])
    assert found_ms is not None, record
    return found_ms


def grid_of(schedule: Record) -> Callable[[int], int]:
    """The first point of the schedule's grid after a moment."""
    start_ms = moment_ms(schedule, "startTimestamp")
    if "cron" in schedule:
        zone = ZoneInfo(schedule.get("timeZone", "UTC"))
        return lambda after_ms: _cron_after(schedule["cron"], zone, max(after_ms, start_ms - 1))
    interval_ms: int = round(schedule["interval"] * 1000)
    return lambda after_ms: start_ms + max(0, (after_ms - start_ms) // interval_ms + 1) * interval_ms


def _cron_after(expression: str, zone: ZoneInfo, after_ms: int) -> int:
    """Within a day."""
    begin = datetime.fromtimestamp(after_ms // _MINUTE_MS * 60, UTC)
    return round(next(due(expression, zone, begin, begin + _DAY)).timestamp()) * 1000


class Grid:
    """Where the occurrences of one schedule belong."""

    def __init__(self, schedule: Record) -> None:
        self._id = schedule["id"]
        self._next_ms = moment_ms(schedule, "nextTimestamp")
        self._after = grid_of(schedule)
        self._first_ms = self._after(moment_ms(schedule, "startTimestamp") - 1)
        self._catches_up = "catchUpSeconds" in schedule

    def check(self, tasks: list[Record]) -> None:
        """Asserts that nothing is missing and nothing is double; ``tasks`` were listed after the schedule."""
        made = sorted((moment_ms(task, "startTimestamp"), moment_ms(task, "creationTimestamp")) for task in tasks)
        starts = [start_ms for start_ms, _ in made]
        assert len(set(starts)) == len(starts), f"schedule {self._id} made an occurrence twice: {starts}"
        for start_ms, creation_ms in made:
            assert self._is_on_grid(start_ms), f"schedule {self._id} left its grid at {start_ms}"
            assert creation_ms >= start_ms, f"schedule {self._id} made {start_ms} before its time, at {creation_ms}"
        before = [occurrence for occurrence in made if occurrence[0] < self._next_ms]
        self._check_gaps([*before, (self._next_ms, self._next_ms)])
        self._check_gaps(made)

    def _check_gaps(self, made: list[tuple[int, int]]) -> None:
        """From the first occurrence to the one that comes next: what is left out had passed."""
        expected_ms = self._first_ms
        for start_ms, creation_ms in made:
            assert start_ms <= expected_ms, f"schedule {self._id} missed {expected_ms} and went on at {start_ms}"
            expected_ms = self._after(start_ms if self._catches_up else creation_ms)

    def _is_on_grid(self, point_ms: int) -> bool:
        return point_ms >= self._first_ms and self._after(point_ms - 1) == point_ms
