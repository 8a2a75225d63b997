"""What queries do besides filtering: trimming records, showing their filter, and standing in for a time bound."""

import copy
from typing import Any

import pytest

from taskd.rql.errors import RqlError
from taskd.rql.mongo_filter import filter_json
from taskd.rql.parser import parse
from taskd.rql.select import project
from taskd.rql.time_bounds import single_lower_bound, time_window

RECORD = {
    "id": "1",
    "status": "new",
    "tags": ["a", "b"],
    "data": {"x": {"y": 1, "z": None}, "n": 5, "items": [{"n": 1, "m": [{"n": 2, "k": 3}]}, 7, [{"n": 8}], {"k": 1}]},
}


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ("status", {"id": "1", "status": "new"}),
        ("id", {"id": "1"}),
        ("nothing,data.nothing,status.x", {"id": "1", "data": {}}),
        ("tags", {"id": "1", "tags": ["a", "b"]}),
        ("data.x.y", {"id": "1", "data": {"x": {"y": 1}}}),
        ("data.x.z", {"id": "1", "data": {"x": {"z": None}}}),
        ("data.x.y,data.n", {"id": "1", "data": {"x": {"y": 1}, "n": 5}}),
        ("data.x,data.x.y", {"id": "1", "data": {"x": {"y": 1, "z": None}}}),
        ("data.n.y,data.x.y.w", {"id": "1", "data": {"x": {}}}),
        ("data.items.n", {"id": "1", "data": {"items": [{"n": 1}, {}]}}),
        ("data.items.m.n", {"id": "1", "data": {"items": [{"m": [{"n": 2}]}, {}]}}),
        ("id.x", {"id": "1"}),
    ],
)
def test_select_keeps(select: str, expected: dict[str, Any]) -> None:
    before = copy.deepcopy(RECORD)
    assert project(RECORD, parse(f"select({select})").select) == expected
    assert before == RECORD


def test_nothing_selected_is_the_whole_record() -> None:
    assert project(RECORD, ()) is RECORD


def test_select_below_thousands_of_levels() -> None:
    path = ("data", *["a"] * 5_000)
    value: Any = 1
    for name in reversed(path):
        value = {name: value}
    selected: Any = project({"id": "1", **value}, [path])
    for name in path:
        selected = selected[name]
    assert selected == 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("limit(5)&sort(a)", "{}"),
        ("status=failed", '{"status":"failed"}'),
        ("a!=1&b>1.5", '{"$and":[{"a":{"$ne":1}},{"b":{"$gt":1.5}}]}'),
        ("a=null|b=true", '{"$or":[{"a":null},{"b":true}]}'),
        ("in(a,b,c)&out(d,e)", '{"$and":[{"a":{"$in":["b","c"]}},{"d":{"$nin":["e"]}}]}'),
        ("like(a.b,x.y)", '{"a.b":{"$regex":"x\\\\.y","$options":"i"}}'),
        ("a=RE:^x", '{"a":{"$regex":"^x","$options":""}}'),
        ("a>=2026-01-01T00:00:00.000Z", '{"a":{"$gte":"2026-01-01T00:00:00.000Z"}}'),
        ("contains(a)&excludes(b)", '{"$and":[{"a":{"$exists":true}},{"b":{"$exists":false}}]}'),
        ("contains(a,b=1)", '{"a":{"$elemMatch":{"b":1}}}'),
        ("excludes(a,b=1)", '{"a":{"$not":{"$elemMatch":{"b":1}}}}'),
        ("a='é\"'", '{"a":"é\\""}'),
    ],
)
def test_filter_is_shown_as(text: str, shown: str) -> None:
    assert filter_json(parse(text)) == shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("limit(5)", None),
        ("timestamp>=1970-01-01T00:00:01Z", 1_000),
        ("ge(timestamp,1970%252D01%252D01T00%253A00%253A01%252E000Z)", 1_000),
        ("timestamp>=5&timestamp>=7", 7),
    ],
)
def test_lower_bound_of(text: str, expected: int | None) -> None:
    assert single_lower_bound(parse(text), "timestamp") == expected


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("timestamp>5", 0),
        ("timestamp>=5&message=x", 13),
        ("timestamp>=5|timestamp>=6", 0),
        ("timestamp>=x", 0),
        ("timestamp.x>=5", 0),
        ("timestamp>=5&contains(timestamp)", 13),
        ("timestamp>=5&sort(timestamp)", 0),
        ("select(message)", 0),
    ],
)
def test_no_other_filter_than_a_lower_bound(text: str, position: int) -> None:
    with pytest.raises(RqlError) as error:
        single_lower_bound(parse(text), "timestamp")
    assert error.value.position == position


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (None, None)),
        ("at>=5", (5, None)),
        ("at<=7&limit(1)", (None, 7)),
        ("at>=5&at<=7", (5, 7)),
        ("and(ge(at,5),le(at,9),ge(at,6),le(at,8))", (6, 8)),
    ],
)
def test_window_of(text: str, expected: tuple[int | None, int | None]) -> None:
    assert time_window(parse(text), "at") == expected


@pytest.mark.parametrize("text", ["at>5", "at<7", "at=5", "other<=7", "at>=5|at<=7", "sort(at)", "select(at)"])
def test_no_other_filter_than_a_window(text: str) -> None:
    with pytest.raises(RqlError):
        time_window(parse(text), "at")
