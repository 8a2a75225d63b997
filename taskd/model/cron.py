"""Cron expressions in a time zone: from what a clock on the wall shows to moments, and which one is next.

Five fields as cron has them: minute, hour, day of the month, month, day of the week; ``@daily`` and the like stand for
some. Two kinds behave differently where the clock is changed, as in Debian's cron:

- *Fixed times*, where neither minute nor hour begins with ``*``, are never missed and never doubled. What falls into
  the time that is skipped is due right after it, and what falls into the time that is repeated is due the first time.
- All others follow real time: they are due at each moment at which the clock shows what matches.
"""

from collections.abc import Callable
from copy import copy
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

from cronsim import CronSim, CronSimError
from msgspec import Struct

from taskd.model.errors import TaskdError

EXPRESSION_MAX_CHARS = 200
_FIELDS = 5
_MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_ANY = datetime(2000, 1, 1)  # noqa: DTZ001  what a clock on the wall shows has no zone
_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST_MS = (datetime(1, 1, 3, tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1)
"""From then on the clocks of all zones show a year."""


class CronError(TaskdError):
    """The expression is none; the message says which part of it."""


class Cron(Struct, frozen=True):
    """An expression that was understood."""

    matcher: CronSim
    """Finds what a clock on the wall shows next, and knows of no zone. Not to be moved on: others share it."""
    is_fixed: bool
    """Whether it names fixed times."""


@lru_cache(maxsize=4096)
def parse(expression: str) -> Cron:
    """The expression, understood.

    :raises CronError: says what is wrong with it.
    """
    if len(expression) > EXPRESSION_MAX_CHARS:
        raise CronError(f"a cron expression has at most {EXPRESSION_MAX_CHARS} characters")
    fields = _MACROS.get(expression.strip().lower(), expression).split()
    if len(fields) != _FIELDS:
        names = ", ".join(_MACROS)
        raise CronError(
            f"{expression!r} does not have five fields (minute, hour, day, month, weekday), nor is it {names}"
        )
    try:
        matcher = CronSim(" ".join(fields), _ANY)
    except CronSimError as error:
        raise CronError(f"{expression!r} is not understood: {str(error).lower()}") from None
    return Cron(matcher, is_fixed=not (fields[0].startswith("*") or fields[1].startswith("*")))


def next_after(cron: Cron, zone: tzinfo, after_ms: int) -> int | None:
    """The first moment later than ``after_ms``; ``None`` if none comes within 50 years, or before the year 9999.

    Milliseconds since the epoch. Takes up to some milliseconds for what is very rare.
    """
    after_ms = max(after_ms, _EARLIEST_MS)
    search = _fixed if cron.is_fixed else _in_real_time
    try:
        found = search(cron.matcher, zone, _EPOCH + timedelta(seconds=after_ms // 1000))
    except (StopIteration, OverflowError, ValueError):
        return None
    return (found - _EPOCH) // _SECOND * 1000


def _shown_next(matcher: CronSim, shown: datetime) -> datetime:
    """What the clock shows next that matches, after it showed ``shown``."""
    search = copy(matcher)
    search.dt = shown
    return next(search)


def _fixed(matcher: CronSim, zone: tzinfo, after: datetime) -> datetime:
    shown = after.astimezone(zone).replace(tzinfo=None)
    while True:
        shown = _shown_next(matcher, shown.replace(fold=0))
        found = _first_moment(shown, zone)
        if found > after:  # else in a time that is being repeated: it was due the first time
            return found


def _first_moment(shown: datetime, zone: tzinfo) -> datetime:
    """When the clock first shows this, or where it never does, when it has skipped it."""
    moment = shown.replace(tzinfo=zone).astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == shown:
        return moment
    before = shown.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return _change(_offset(zone), before, moment)


def _in_real_time(matcher: CronSim, zone: tzinfo, after: datetime) -> datetime:
    offset_at = _offset(zone)
    moment, offset = after, offset_at(after)
    while True:
        shown = (moment + offset).replace(tzinfo=None)
        found = _shown_next(matcher, shown).replace(tzinfo=UTC) - offset
        soon = min(found, moment + _DAY)
        if offset_at(soon) != offset:
            # The clock is changed before; the moment of the change may match already.
            changed = _change(offset_at, moment, soon)
            moment, offset = changed - _SECOND, offset_at(changed)
        elif soon == found:
            return found
        else:
            # Nothing is shown that matches, once or repeatedly, until about then; the offset may be another by then.
            moment = found - _DAY
            offset = offset_at(moment)


def _offset(zone: tzinfo) -> Callable[[datetime], timedelta]:
    return lambda moment: moment.astimezone(zone).utcoffset() or timedelta(0)


def _change(offset_at: Callable[[datetime], timedelta], before: datetime, after: datetime) -> datetime:
    """The first moment of the offset that holds at ``after`` and did not at ``before``, to the second."""
    offset = offset_at(after)
    while after - before > _SECOND:
        middle = before + (after - before) // _SECOND // 2 * _SECOND
        before, after = (before, middle) if offset_at(middle) == offset else (middle, after)
    return after
