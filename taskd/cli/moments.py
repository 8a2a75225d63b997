"""Moments as people write them: ``now``, ``+5m``, ``+1h30m``, ``2026-01-31T12:00``."""

from datetime import datetime

from taskd.model.durations import duration_ms
from taskd.model.timestamps import MAX_MS, MIN_MS, parse_rfc3339


def parse_moment(text: str, now_ms: int) -> int:
    """Milliseconds since the epoch. A time without an offset is in this machine's time zone.

    :raises ValueError: says what can be written.
    """
    moment_ms = now_ms if text == "now" else _delayed(text, now_ms) if text.startswith("+") else _absolute(text)
    if moment_ms is None or not MIN_MS <= moment_ms <= MAX_MS:
        raise ValueError(f"{text!r} is no moment: write +5m, +1h30m, +2d, now, or 2026-01-31T12:00:00Z")
    return moment_ms


def _delayed(text: str, now_ms: int) -> int | None:
    delay_ms = duration_ms(text.removeprefix("+"))
    return None if delay_ms is None else now_ms + delay_ms


def _absolute(text: str) -> int | None:
    exact = parse_rfc3339(text)
    if exact is not None:
        return exact
    try:
        return int(datetime.fromisoformat(text).astimezone().timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        return None


def format_duration(length_ms: int) -> str:
    """``842 ms``, ``4.2 s``, ``5 min 3 s``, ``3 h 20 min``, ``12 d 4 h``: short, and exact enough to read."""
    if length_ms < 1_000:
        return f"{length_ms} ms"
    if length_ms < 60_000:
        return f"{length_ms / 1000:.1f} s"
    seconds = length_ms // 1000
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
