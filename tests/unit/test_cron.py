"""Cron expressions in time zones: read, refused, and due when the clock on the wall says so."""

import random
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise, product
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from support import cron_oracle

from taskd.model.cron import EXPRESSION_MAX_CHARS, CronError, next_after, parse
from taskd.model.time_zones import UnknownZoneError, time_zone, zone_data

SHOWN = ((0, 0), (0, 30), (1, 45), (2, 0), (2, 15), (3, 0))
ZONES = ("Europe/Brussels", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Antarctica/Troll")
YEARS = range(2020, 2041)
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def following(expression: str, zone: str, after: datetime, count: int = 1) -> list[datetime]:
    """The next times, in UTC."""
    cron, after_ms, found = parse(expression), round(after.timestamp() * 1000), []
    for _ in range(count):
        next_ms = next_after(cron, time_zone(zone), after_ms)
        if next_ms is None:
            break
        found.append(datetime.fromtimestamp(next_ms / 1000, UTC))
        after_ms = next_ms
    return found


def between(expression: str, zone: str, begin: datetime, end: datetime) -> list[datetime]:
    found, moment = [], begin
    while (moment := following(expression, zone, moment)[0]) <= end:
        found.append(moment)
    return found


@pytest.mark.parametrize(
    ("expression", "first"),
    [
        ("30 7 * * 1-5", "2026-11-25T07:30"),
        ("*/15 * * * *", "2026-11-24T12:15"),
        ("0 0 1 JAN *", "2027-01-01T00:00"),
        ("0 12 * * SUN", "2026-11-29T12:00"),
        ("0 12 * * 7", "2026-11-29T12:00"),
        ("0 0 13 * 5", "2026-11-27T00:00"),
        ("0 0 29 2 *", "2028-02-29T00:00"),
        ("0 0 L * *", "2026-11-30T00:00"),
        ("0 0 * * 5#1", "2026-12-04T00:00"),
        ("@hourly", "2026-11-24T13:00"),
        ("@daily", "2026-11-25T00:00"),
        (" @MIDNIGHT ", "2026-11-25T00:00"),
        ("@weekly", "2026-11-29T00:00"),
        ("@monthly", "2026-12-01T00:00"),
        ("@yearly", "2027-01-01T00:00"),
        ("@annually", "2027-01-01T00:00"),
    ],
)
def test_an_expression_is_due_when_it_says(expression: str, first: str) -> None:
    assert following(expression, "UTC", NOON) == [datetime.fromisoformat(first).replace(tzinfo=UTC)]


@pytest.mark.parametrize(
    "expression",
    [
        *("", "*", "* * * *", "* * * * * *", "0 0 0 * * *", "@reboot", "@never", "60 * * * *", "* 24 * * *"),
        *("* * 0 * *", "* * 32 * *", "* * * 13 *", "* * * * 8", "*/0 * * * *", "5-1 * * * *", "a * * * *"),
        *("-1 * * * *", "1,,2 * * * *", "0 0 30 2 *", "0 0 31 4,6 *", "* * * * MON#6", "\u0661 * * * *", "1/ * * * *"),
        *("0 " * 5 + "x" * EXPRESSION_MAX_CHARS, "\0 * * * *"),
    ],
)
def test_what_is_no_expression_is_refused(expression: str) -> None:
    with pytest.raises(CronError):
        parse(expression)


@pytest.mark.parametrize("name", ["UTC", "Europe/Brussels", "Etc/GMT+5", "America/Argentina/Buenos_Aires"])
def test_zones_are_known_by_their_names(name: str) -> None:
    assert time_zone(name).key == name


@pytest.mark.parametrize(
    "name",
    [
        *("", "Nowhere", "Europe", "Europe/", "/etc/passwd", "../UTC", "Europe/../UTC", "right/UTC", "posix/UTC"),
        *("tzdata.zi", "zone.tab", "UTC\0", "UTC ", "a" * 10_000, "Europe/Brüssel", "localtime/x"),
    ],
)
def test_what_is_no_zone_is_refused(name: str) -> None:
    with pytest.raises(UnknownZoneError):
        time_zone(name)


def test_it_is_said_whose_data_of_zones_is_used() -> None:
    assert zone_data().startswith(("this machine (/", "the package tzdata ("))


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("year", YEARS)
def test_a_fixed_time_of_each_day_comes_once_a_day_and_at_its_time_or_right_after_the_gap(zone: str, year: int) -> None:
    known = ZoneInfo(zone)
    for change, (hour, minute) in product(cron_oracle.changes(known, year), SHOWN):
        times = following(f"{minute} {hour} * * *", zone, change - timedelta(hours=60), 5)
        days = [moment.astimezone(known).date() for moment in times]
        assert [second - first for first, second in pairwise(days)] == [timedelta(days=1)] * 4
        for moment in times:
            shown = moment.astimezone(known)
            assert (shown.hour, shown.minute, shown.fold) == (hour, minute, 0) or moment == change


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("year", YEARS)
def test_quarters_of_an_hour_follow_real_time_through_every_change(zone: str, year: int) -> None:
    for change in cron_oracle.changes(ZoneInfo(zone), year):
        times = following("*/15 * * * *", zone, change - timedelta(hours=3), 24)
        assert {second - first for first, second in pairwise(times)} == {timedelta(minutes=15)}


@pytest.mark.parametrize("zone", ZONES)
def test_every_kind_agrees_with_a_clock_that_is_watched_each_minute(zone: str) -> None:
    known = ZoneInfo(zone)
    rng = random.Random(zone)
    for year in rng.sample(YEARS, 2):
        for change in cron_oracle.changes(known, year):
            for _ in range(12):
                expression = f"{rng.choice(MINUTES)} {rng.choice(HOURS)} * * *"
                begin = change - timedelta(minutes=rng.randrange(-90, 400))
                end = change + timedelta(hours=30)
                expected = list(cron_oracle.due(expression, known, begin, end))
                assert between(expression, zone, begin, end) == expected, (expression, str(begin))


MINUTES = ("*", "*/7", "*/15", "0", "30", "15,45", "5-20/5", "0-59")
HOURS = ("*", "*/2", "*/3", "0", "1", "2", "23", "1-3", "0,2,3", "0-23")


FIELDS = (
    ("*", "0", "30", "*/5", "7-9", "1,59"),
    ("*", "0", "12", "*/6", "8-18/2", "5,23"),
    ("*", "*", "*", "1", "31", "10-20", "29"),
    ("*", "*", "*", "2", "1-6", "2,12"),
    ("*", "*", "*", "0", "1-5", "6"),
)
ALL_ZONES = (*ZONES, "UTC", "Asia/Kolkata", "Pacific/Chatham", "Africa/Cairo", "America/Sao_Paulo")


@pytest.mark.parametrize("seed", range(10))
def test_croniter_finds_the_same_where_no_clock_is_changed(seed: int) -> None:
    """500 expressions a seed. Where the clock is changed, croniter has rules of its own."""
    rng = random.Random(seed)
    compared = 0
    while compared < 500:
        expression, zone = " ".join(rng.choice(field) for field in FIELDS), rng.choice(ALL_ZONES)
        begin = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=rng.randrange(21 * 365 * 1440))
        try:
            found = following(expression, zone, begin, 2)
        except CronError:
            continue  # it never comes: 31 February
        offsets = {moment.astimezone(ZoneInfo(zone)).utcoffset() for moment in (begin, *found)}
        if len(offsets) > 1 or found[-1] - begin > timedelta(days=60):
            continue
        theirs = croniter(expression, begin.astimezone(ZoneInfo(zone)))
        assert [theirs.get_next(datetime).astimezone(UTC) for _ in found] == found, (expression, zone, str(begin))
        compared += 1


@pytest.mark.parametrize(
    ("expression", "zone", "begin", "expected"),
    [
        ("30 2 * * *", "Europe/Brussels", "2026-03-28T12:00+00:00", ["03-29T01:00", "03-30T00:30"]),
        ("30 2 * * *", "Europe/Brussels", "2026-10-24T12:00+00:00", ["10-25T00:30", "10-26T01:30"]),
        ("30 2 * * *", "Europe/Brussels", "2026-10-25T01:10+00:00", ["10-26T01:30", "10-27T01:30"]),
        ("0,30 2 * * *", "America/New_York", "2026-03-07T12:00+00:00", ["03-08T07:00", "03-09T06:00"]),
        ("0 0 * * *", "America/Santiago", "2026-09-05T12:00+00:00", ["09-06T04:00", "09-07T03:00"]),
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00+00:00", ["10-03T15:30", "10-04T15:15"]),
        ("30 1 * * *", "Antarctica/Troll", "2026-03-28T12:00+00:00", ["03-29T01:00", "03-29T23:30"]),
        ("30 1 * * *", "Antarctica/Troll", "2026-10-24T12:00+00:00", ["10-24T23:30", "10-26T01:30"]),
        ("0 */2 * * *", "Australia/Lord_Howe", "2026-04-04T13:30+00:00", ["04-04T15:30", "04-04T17:30"]),
    ],
)
def test_changes_of_the_clock_that_people_know(expression: str, zone: str, begin: str, expected: list[str]) -> None:
    found = following(expression, zone, datetime.fromisoformat(begin), 2)
    assert [f"{moment:%m-%dT%H:%M}" for moment in found] == expected


@pytest.mark.parametrize("zone", ["UTC", "Europe/Brussels"])
@pytest.mark.parametrize("expression", ["0 0 29 2 */7", "0 0 * 2 MON#5", "*/5 * 29 2 */7", "59 23 31 12 */6"])
def test_what_is_very_rare_is_found_in_milliseconds(expression: str, zone: str) -> None:
    following(expression, zone, NOON)
    began_s = time.process_time()
    found = following(expression, zone, NOON, 2)
    assert time.process_time() - began_s < 0.2
    assert len(found) == 2


def test_times_end_where_years_do() -> None:
    end = datetime(9999, 12, 31, 23, 59, tzinfo=UTC)
    for expression, zone in product(("0 0 * * *", "* * * * *"), ("UTC", "America/New_York", "Pacific/Kiritimati")):
        assert following(expression, zone, end, 3) in ([], [end]) or zone != "UTC"


def test_before_the_first_change_of_a_zone_times_are_told_too() -> None:
    [found] = following("0 12 * * *", "Europe/Amsterdam", datetime(1890, 1, 1, tzinfo=UTC))
    assert found.astimezone(ZoneInfo("Europe/Amsterdam")).hour == 12
