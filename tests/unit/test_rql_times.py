"""What is taken for a time where a field that holds times is compared, and only there."""

import pytest

from taskd.model.timestamps import parse_rfc3339
from taskd.rql.coerce import Kind, coerce
from taskd.rql.errors import RqlError
from taskd.rql.parser import parse
from taskd.rql.query import Compare, Member


def moment_of(text: str) -> object:
    where = parse(f"eq(at,{text})").where
    assert where is not None
    node = coerce(where, Kind.TIME)
    assert isinstance(node, Compare)
    return node.value


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("2021-01-21", "2021-01-21T00:00:00Z"),
        ("2021-01-21T10:20:30", "2021-01-21T10:20:30Z"),
        ("2021-01-21T10:20:30.5", "2021-01-21T10:20:30.500Z"),
        ("2021-01-21T10:20:30+0000", "2021-01-21T10:20:30Z"),
        ("2021-01-21T10:20:30.123-0530", "2021-01-21T10:20:30.123-05:30"),
        ("2021%252D01%252D21T10%253A20%253A30%252B0200", "2021-01-21T10:20:30+02:00"),
        ("string:2021-01-21", "2021-01-21T00:00:00Z"),
        ("date:2021-01-21", "2021-01-21T00:00:00Z"),
        ("2021-01-21T10:20:30Z", "2021-01-21T10:20:30Z"),
        ("1611187200000", "2021-01-21T00:00:00Z"),
    ],
)
def test_a_time_may_be_written_as_people_do(text: str, meaning: str) -> None:
    assert moment_of(text) == parse_rfc3339(meaning)


@pytest.mark.parametrize(
    "text",
    ["2021-02-30", "2021-1-21", "20210121", "2021-01-21T25:00:00", "2021-01-21+0000", "2021-01-21T10:20:30+2500", "x"],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    if text.isdigit():
        assert moment_of(text) == int(text)
    else:
        with pytest.raises(RqlError, match="A time is expected"):
            moment_of(text)


def test_each_of_many_values_is_taken_so() -> None:
    where = parse("in(at,2021-01-21,2021-01-22T00:00:00)").where
    assert where is not None
    node = coerce(where, Kind.TIME)
    assert isinstance(node, Member)
    assert node.values == (1_611_187_200_000, 1_611_273_600_000)


@pytest.mark.parametrize("kind", [Kind.TEXT, Kind.JSON])
def test_elsewhere_a_day_stays_a_text(kind: Kind) -> None:
    where = parse("eq(data.day,2021-01-21)").where
    assert where is not None
    node = coerce(where, kind)
    assert isinstance(node, Compare)
    assert node.value == "2021-01-21"
