"""Moments as people write them: ``now``, ``+5m``, ``+1h30m``, ``2026-01-31T12:00``."""

import re
from datetime import datetime

from taskd.model.timestamps import MAX_MS, MIN_MS, parse_rfc3339

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_PART = re.compile(r"(\d{1,12})(ms|s|m|h|d)", re.ASCII)
_DURATION = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)


def parse_moment(text: str, now_ms: int) -> int:
    """Milliseconds since the epoch. A time without an offset is in this machine's time zone.

    :raises ValueError: says what can be written.
    """
    moment_ms = now_ms if text == "now" else _delayed(text, now_ms) if text.startswith("+") else _absolute(text)
    if moment_ms is None or not MIN_MS <= moment_ms <= MAX_MS:
        raise ValueError(f"{text!r} is no moment: write +5m, +1h30m, +2d, now, or 2026-01-31T12:00:00Z")
    return moment_ms


def parse_duration(text: str) -> int:
    """Milliseconds.

    :raises ValueError: says what can be written.
    """
    duration_ms = _duration(text)
    if duration_ms is None:
        raise ValueError(f"{text!r} is no duration: write 30s, 5m, 1h30m, 2d, or 500ms")
    return duration_ms


def _duration(text: str) -> int | None:
    if _DURATION.fullmatch(text) is None:
        return None
    return sum(int(count) * _UNITS_MS[unit] for count, unit in _PART.findall(text))


def _delayed(text: str, now_ms: int) -> int | None:
    delay_ms = _duration(text.removeprefix("+"))
    return None if delay_ms is None else now_ms + delay_ms


def _absolute(text: str) -> int | None:
    exact = parse_rfc3339(text)
    if exact is not None:
        return exact
    try:
        return int(datetime.fromisoformat(text).astimezone().timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        return None


def format_duration(duration_ms: int) -> str:
    """``842 ms``, ``4.2 s``, ``5 min 3 s``, ``3 h 20 min``, ``12 d 4 h``: short, and exact enough to read."""
    if duration_ms < 1_000:
        return f"{duration_ms} ms"
    if duration_ms < 60_000:
        return f"{duration_ms / 1000:.1f} s"
    seconds = duration_ms // 1000
    for upper, unit, lower_unit, lower in ((3_600, "min", "s", 60), (86_400, "h", "min", 3_600)):
        if seconds < upper:
            whole, rest = divmod(seconds, lower)
            return f"{whole} {unit} {rest if lower == 60 else rest // 60} {lower_unit}"
    days, rest = divmod(seconds, 86_400)
    return f"{days:,} d {rest // 3_600} h"


def format_relative(moment_ms: int, now_ms: int) -> str:
    """``in 5 min 0 s`` or ``4.2 s ago``."""
    if moment_ms > now_ms:
        return f"in {format_duration(moment_ms - now_ms)}"
    return f"{format_duration(now_ms - moment_ms)} ago"
