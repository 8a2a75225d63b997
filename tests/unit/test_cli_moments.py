"""Moments and durations as people write and read them."""

import time
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskd.cli.moments import format_duration, format_relative, parse_moment
from taskd.model.timestamps import MAX_MS, MIN_MS, format_ms

NOW_MS = 1_700_000_000_123


@pytest.mark.parametrize(
    ("text", "delay_ms"),
    [
        ("now", 0),
        ("+0s", 0),
        ("+250ms", 250),
        ("+5m", 300_000),
        ("+1h30m", 5_400_000),
        ("+2d", 172_800_000),
        ("+1d2h3m4s5ms", 93_784_005),
        ("+90s90s", 180_000),
    ],
)
def test_a_delay_counts_from_now(text: str, delay_ms: int) -> None:
    assert parse_moment(text, NOW_MS) == NOW_MS + delay_ms


def test_a_time_with_an_offset_is_that_time() -> None:
    assert format_ms(parse_moment("2026-01-31T12:00:00+02:00", NOW_MS)) == "2026-01-31T10:00:00.000Z"


def test_a_time_without_an_offset_is_in_the_zone_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert format_ms(parse_moment("2026-01-31T12:00", NOW_MS)) == "2026-01-31T17:00:00.000Z"
        assert format_ms(parse_moment("2026-07-31", NOW_MS)) == "2026-07-31T04:00:00.000Z"
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+",
        "+5",
        "+m",
        "5m",
        "-5m",
        "+5 m",
        "+5m ",
        "+1.5h",
        "+٣m",
        "tomorrow",
        "2026-13-01",
        "+999999999999d",
    ],
)
def test_what_is_no_moment_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no moment: write \+5m"):
        parse_moment(text, NOW_MS)


@given(st.text(max_size=30) | st.datetimes().map(datetime.isoformat))
def test_any_text_is_a_moment_or_refused(text: str) -> None:
    try:
        moment_ms = parse_moment(text, NOW_MS)
    except ValueError:
        return
    assert MIN_MS <= moment_ms <= MAX_MS


@pytest.mark.parametrize(
    ("duration_ms", "text"),
    [
        (0, "0 ms"),
        (999, "999 ms"),
        (1_000, "1.0 s"),
        (59_900, "59.9 s"),
        (60_000, "1 min 0 s"),
        (3_599_999, "59 min 59 s"),
        (3_600_000, "1 h 0 min"),
        (86_399_999, "23 h 59 min"),
        (86_400_000, "1 d 0 h"),
        (100_000 * 86_400_000, "100,000 d 0 h"),
    ],
)
def test_a_duration_is_short_to_read(duration_ms: int, text: str) -> None:
    assert format_duration(duration_ms) == text


def test_a_moment_is_ahead_or_past() -> None:
    assert format_relative(NOW_MS + 5_000, NOW_MS) == "in 5.0 s"
    assert format_relative(NOW_MS - 5_000, NOW_MS) == "5.0 s ago"
    assert format_relative(NOW_MS, NOW_MS) == "0 ms ago"
