"""Start rules: what a key is, and how soon the next may start."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskd.model.data_key import NO_KEY, path_problem, reader_of
from taskd.model.gcra import Gcra
from taskd.model.start_rules import NO_KEYS, key_reader

NOW_MS = 1_700_000_000_000
read = reader_of("data.a.b")


@pytest.mark.parametrize(
    "texts",
    [
        (b'{"a":{"b":1}}', b'{"a":{"b":1.0}}', b'{ "x": [{}], "a" : {"c": 2, "b" : 1 } }', b'{"\\u0061":{"b":1}}'),
        (b'{"a":{"b":"1"}}', b'{"a":{"b":"\\u0031"}}'),
        (b'{"a":{"b":true}}',),
        (b'{"a":{"b":"true"}}',),
        (b'{"a":{"b":""}}',),
        (b'{"a":{"b":-1}}', b'{"a":{"b":-1.0}}'),
        (b'{"a":{"b":1.5}}', b'{"a":{"b":15e-1}}'),
        ('{"a":{"b":"é"}}'.encode(), b'{"a":{"b":"\\u00e9"}}'),
        (
            *(b"{}", b'{"a":null}', b'{"a":{}}', b'{"a":[]}', b'{"a":"b"}', b'{"a":{"b":null}}', b'{"a":{"b":{}}}'),
            *(b'{"a":{"b":[1]}}', b'{"b":1}', b'{"a":{"b":"\\ud800"}}'),
        ),
    ],
)
def test_a_key_is_the_same_however_it_is_written_and_no_other(texts: tuple[bytes, ...]) -> None:
    [key] = {read(text) for text in texts}
    others = {b'{"a":{"b":2}}', b'{"a":{"b":"2"}}', b'{"a":{"b":false}}'}
    assert key not in {read(other) for other in others}
    assert (key == NO_KEY) == (b"{}" in texts)


def test_a_key_does_not_tell_what_the_data_was_and_is_short_however_long_that_is() -> None:
    key = read(b'{"a":{"b":"%b"}}' % (b"x" * 1_000_000))
    assert b"x" not in key
    assert len(key) == 12


def test_two_rules_by_one_key_read_it_once_and_by_two_each_its_own() -> None:
    text = b'{"a":1,"b":2}'
    same = key_reader(("data.a", "data.a"))(text)
    assert same.at_once == same.in_time != NO_KEY
    apart = key_reader(("data.a", "data.b"))(text)
    assert apart.at_once == same.at_once
    assert apart.in_time not in {same.in_time, NO_KEY}
    assert key_reader((None, None))(text) == NO_KEYS


@pytest.mark.parametrize("path", ["", "data", "data.", "a.b", "data..a", ".data.a", "data.a.", "data." + "x" * 252])
def test_a_path_that_leads_nowhere_is_refused(path: str) -> None:
    assert path_problem(path) is not None
    assert path_problem("data." + "x" * 251) is None


def starts(gcra: Gcra, moments_ms: list[int]) -> list[int]:
    """When something started, if it was asked for at these moments."""
    arrival_ns, started = 0, []
    for now_ms in moments_ms:
        if gcra.opens_ms(arrival_ns, now_ms) <= now_ms:
            arrival_ns = gcra.after(arrival_ns, now_ms)
            started.append(now_ms)
    return started


def test_a_burst_comes_at_once_and_then_the_steady_rate() -> None:
    every_ms = list(range(NOW_MS, NOW_MS + 1_000))
    assert [at - NOW_MS for at in starts(Gcra.of(5, 1_000, 1), every_ms)] == [0, 200, 400, 600, 800]
    many = [at for at in every_ms for _ in range(9)]
    assert [at - NOW_MS for at in starts(Gcra.of(5, 1_000, 3), many)] == [0, 0, 0, 200, 400, 600, 800]


@pytest.mark.parametrize("limit", [700, 1_000, 2_000, 30_000])
def test_more_than_one_a_millisecond_is_reached_and_not_passed(limit: int) -> None:
    many = [at for at in range(NOW_MS, NOW_MS + 1_000) for _ in range(40)]
    assert limit - 1 <= len(starts(Gcra.of(limit, 1_000, 1), many)) <= limit + 1


@given(
    st.integers(1, 50), st.integers(1, 5_000), st.integers(1, 5), st.lists(st.integers(0, 400), min_size=1, max_size=60)
)
def test_no_time_has_more_than_its_share_and_the_moment_that_is_told_is_the_first(
    limit: int, period_ms: int, burst: int, gaps_ms: list[int]
) -> None:
    gcra = Gcra.of(limit, period_ms, burst)
    arrival_ns, now_ms, started = 0, NOW_MS, list[int]()
    for gap_ms in gaps_ms:
        now_ms += gap_ms
        opens_ms = gcra.opens_ms(arrival_ns, now_ms)
        if opens_ms > now_ms:
            assert gcra.opens_ms(arrival_ns, opens_ms - 1) == opens_ms, "not a moment earlier"
            assert gcra.opens_ms(arrival_ns, opens_ms) <= opens_ms, "and then it may"
            continue
        arrival_ns = gcra.after(arrival_ns, now_ms)
        started.append(now_ms)
    for first in range(len(started)):
        for last in range(first, len(started)):
            spanned_ms = started[last] - started[first] + 1
            assert last - first + 1 <= burst + -(-spanned_ms * limit // period_ms)


def test_a_clock_that_is_set_back_makes_nobody_wait_longer_than_before() -> None:
    gcra = Gcra.of(1, 1_000, 1)
    arrival_ns = gcra.after(0, NOW_MS)
    hour_ago_ms = NOW_MS - 3_600_000
    assert gcra.opens_ms(arrival_ns, hour_ago_ms) == hour_ago_ms + 1_000
