"""Durations as people write them: ``30s``, ``5m``, ``1h30m``, ``30d``."""

import re

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_PART = re.compile(r"(\d{1,12})(ms|s|m|h|d)", re.ASCII)
_DURATION = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)


def duration_ms(text: str) -> int | None:
    """Milliseconds; ``None`` if ``text`` is no duration."""
    if _DURATION.fullmatch(text) is None:
        return None
    return sum(int(count) * _UNITS_MS[unit] for count, unit in _PART.findall(text))


def parse_duration(text: str) -> int:
    """Milliseconds.

    :raises ValueError: says what can be written.
    """
    parsed_ms = duration_ms(text)
    if parsed_ms is None:
        raise ValueError(f"{text!r} is no duration: write 30s, 5m, 1h30m, 2d, or 500ms")
    return parsed_ms
