"""Timestamps: integers of milliseconds inside, ISO-8601 UTC with milliseconds on the wire."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

MIN_MS = -62_135_596_800_000
"""0001-01-01T00:00:00.000Z, the earliest time that can be written."""
MAX_MS = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z, the latest time that can be written."""

_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ](?:[01]\d|2[0-3]):\d\d:(\d\d)(?:\.\d{1,9})?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)", re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


@lru_cache(maxsize=4096)  # tasks of one batch share their moments
def format_ms(epoch_ms: int) -> str:
    """``epoch_ms`` as ``2021-09-29T15:17:07.051Z``."""
    seconds, ms = divmod(epoch_ms, 1000)
    return f"{_format_second(seconds)}.{ms:03d}Z"


@lru_cache(maxsize=4096)  # a busy service writes the same few seconds over and over
def _format_second(epoch_s: int) -> str:
    return _from_epoch(epoch_s).strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")


def _from_epoch(epoch_s: int) -> datetime:
    return datetime.fromtimestamp(epoch_s, UTC)


def parse_rfc3339(text: str) -> int | None:
    """Milliseconds since the epoch for an RFC 3339 timestamp; ``None`` if ``text`` is not one.

    Digits past the millisecond are cut off. A leap second (``:60``) counts as the second after.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        return None
    if match[1] == "60":
        return _after_leap_second(text)
    try:
        epoch_ms = (datetime.fromisoformat(text.upper()) - _EPOCH) // _MS
    except ValueError:  # no such day or minute
        return None
    return epoch_ms if MIN_MS <= epoch_ms <= MAX_MS else None


def _after_leap_second(text: str) -> int | None:
    second_before_ms = parse_rfc3339(f"{text[:17]}59{text[19:]}")
    return None if second_before_ms is None else second_before_ms // 1000 * 1000 + 1000


def parse_timestamp(value: object) -> int | None:
    """Milliseconds since the epoch for a wire value: an RFC 3339 string or a number of milliseconds.

    ``None`` when the value is neither, or is out of the range that can be written.
    """
    if isinstance(value, str):
        return parse_rfc3339(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not MIN_MS <= value <= MAX_MS:  # also refuses NaN
        return None
    return int(value)
