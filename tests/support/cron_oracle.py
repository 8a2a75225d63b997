"""When cron expressions are due, told as plainly as possible: minute after minute, by what the clock on the wall shows.

The yardstick for :mod:`taskd.model.cron`: it shares nothing with it, not even how an expression is read.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


class PlainCron:
    """An expression of numbers, ``*``, ranges, steps and lists."""

    def __init__(self, expression: str) -> None:
        self._texts = expression.split()
        self._values = [_values(text, *bounds) for text, bounds in zip(self._texts, RANGES, strict=True)]
        self.is_fixed = not (self._texts[0].startswith("*") or self._texts[1].startswith("*"))

    def matches(self, shown: datetime) -> bool:
        minutes, hours, _, _, _ = self._values
        return shown.minute in minutes and shown.hour in hours and self._has_day(shown.date())

    def _has_day(self, day: date) -> bool:
        _, _, days, months, weekdays = self._values
        by_day, by_weekday = day.day in days, not {day.isoweekday(), day.isoweekday() % 7}.isdisjoint(weekdays)
        restricts_both = not (self._texts[2].startswith("*") or self._texts[4].startswith("*"))
        return day.month in months and (by_day or by_weekday if restricts_both else by_day and by_weekday)


def _values(text: str, low: int, high: int) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        begin, end = (low, high) if span == "*" else (int(first), int(last or first))
        if step and span != "*" and not last:
            end = high
        found |= set(range(begin, end + 1, int(step or 1)))
    return found


def due(expression: str, zone: ZoneInfo, begin: datetime, end: datetime) -> Iterator[datetime]:
    """Every moment after ``begin``, up to ``end``, in UTC; both are whole minutes of UTC."""
    cron, before, moment = PlainCron(expression), begin.astimezone(zone), begin
    while moment < end:
        moment += MINUTE
        shown = moment.astimezone(zone)
        is_repeated = cron.is_fixed and shown.fold == 1
        was_skipped = cron.is_fixed and _was_skipped(cron, before, shown)
        if (cron.matches(shown) and not is_repeated) or was_skipped:
            yield moment
        before = shown


def _was_skipped(cron: PlainCron, before: datetime, shown: datetime) -> bool:
    """Whether the clock went past something that matches."""
    skipped = before.replace(tzinfo=None) + MINUTE
    while skipped < shown.replace(tzinfo=None):
        if cron.matches(skipped):
            return True
        skipped += MINUTE
    return False


def changes(zone: ZoneInfo, year: int) -> list[datetime]:
    """The moments of the year at which the clock is changed, to the minute, in UTC."""
    moment, found = datetime(year, 1, 1, tzinfo=UTC), []
    offset = moment.astimezone(zone).utcoffset()
    while moment.year == year:
        later = moment + timedelta(hours=6)
        if later.astimezone(zone).utcoffset() != offset:
            while moment.astimezone(zone).utcoffset() == offset:
                moment += MINUTE
            found.append(moment)
            offset = moment.astimezone(zone).utcoffset()
        moment = later
    return found
