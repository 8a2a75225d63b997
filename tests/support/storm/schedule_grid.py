"""The promise of schedules: an occurrence for each point of the grid, save those that had passed meanwhile.

A point is left out only if it had passed when the task of the one before it was made: late, after an outage or because
the clock was set ahead, one task stands for all of them. A clock that is set back makes schedules wait.
"""

from typing import Any

from taskd.model.timestamps import parse_rfc3339

Record = dict[str, Any]


def moment_ms(record: Record, field: str) -> int:
    """A timestamp of a record as it came over the wire."""
    found_ms = parse_rfc3339(record[field])
    assert found_ms is not None, record
    return found_ms


class Grid:
    """Where the occurrences of one schedule belong."""

    def __init__(self, schedule: Record) -> None:
        self._id = schedule["id"]
        self._start_ms = moment_ms(schedule, "startTimestamp")
        self._next_ms = moment_ms(schedule, "nextTimestamp")
        self._interval_ms: int = round(schedule["interval"] * 1000)

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
        expected_ms = self._start_ms
        for start_ms, creation_ms in made:
            assert start_ms <= expected_ms, f"schedule {self._id} missed {expected_ms} and went on at {start_ms}"
            expected_ms = self._after(creation_ms)

    def _is_on_grid(self, point_ms: int) -> bool:
        return point_ms >= self._start_ms and (point_ms - self._start_ms) % self._interval_ms == 0

    def _after(self, moment_ms: int) -> int:
        """The first point after a moment."""
        return self._start_ms + ((moment_ms - self._start_ms) // self._interval_ms + 1) * self._interval_ms
