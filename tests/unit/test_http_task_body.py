"""Bodies of tasks to be created: what is taken, and how what is not is named."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskd.api.validation.task_body import decode_task, task_draft
from taskd.model import errors, limits
from taskd.model.errors import ContractError, ErrorKind
from taskd.model.function import Function
from taskd.model.task import TaskDraft
from taskd.model.timestamps import MAX_MS, MIN_MS

NOW_MS = 1_700_000_000_000

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def draft(body: bytes, function: Function | None = None) -> TaskDraft:
    return task_draft(decode_task(body), function, NOW_MS)


def draft_of(**fields: Any) -> TaskDraft:
    return draft(orjson.dumps({"functionName": "hello", **fields}))


def outcome(body: bytes) -> TaskDraft | ContractError:
    """What becomes of ``body``; any other exception is a failure of the test."""
    try:
        return draft(body)
    except ContractError as error:
        return error


def assert_refused(body: bytes | dict[str, Any], kind: ErrorKind, *words: str) -> None:
    error = outcome(body if isinstance(body, bytes) else orjson.dumps(body))
    assert isinstance(error, ContractError)
    assert error.kind == kind
    for word in words:
        assert word in error.message


def assert_sound(task: TaskDraft) -> None:
    """What the rooms below rely on."""
    assert isinstance(orjson.loads(task.data), dict)
    assert MIN_MS <= task.start_ms <= MAX_MS
    assert isinstance(task.priority, int)
    assert abs(task.priority) <= limits.PRIORITY_MAX
    assert len(task.tags) <= limits.TASK_TAGS_MAX
    for text in (task.function_name, *task.tags):
        text.encode()


@given(st.binary())
def test_any_bytes_are_a_draft_or_a_named_error(body: bytes) -> None:
    result = outcome(body)
    if isinstance(result, TaskDraft):
        assert_sound(result)
    else:
        assert result.kind in {errors.BODY_FORMAT, errors.MISSING_FIELDS, errors.FIELD_FORMAT}


@given(
    st.dictionaries(
        st.sampled_from(["functionName", "data", "startTimestamp", "priority", "tags", "other"]), json_values
    )
)
def test_any_values_of_fields_are_a_draft_or_an_error_naming_a_field(fields: dict[str, Any]) -> None:
    result = outcome(json.dumps(fields).encode())
    if isinstance(result, TaskDraft):
        assert_sound(result)
    else:
        assert result.kind in {errors.MISSING_FIELDS, errors.FIELD_FORMAT}
        assert any(name in result.message for name in ("functionName", *fields))


@given(st.dictionaries(st.text(max_size=5), json_values, max_size=4), st.sampled_from([None, 0, 2]))
def test_data_is_kept_as_it_came(data: dict[str, Any], indent: int | None) -> None:
    text = json.dumps(data, indent=indent)
    task = draft(f'{{"functionName": "hello", "data": {text} , "priority": 1}}'.encode())
    assert task.data == text.encode()


def test_the_least_body_gets_the_defaults() -> None:
    assert draft_of() == TaskDraft(function_name="hello", data=b"{}", start_ms=NOW_MS, priority=0, tags=())


def test_null_stands_for_absent() -> None:
    assert draft_of(data=None, startTimestamp=None, priority=None, tags=None) == draft_of()


def test_priority_defaults_to_the_functions_own() -> None:
    function = Function(
        name="hello", entry_point="i.h", runtime="python3.12", update_ms=0, code_version="1", default_priority=7
    )
    assert draft(b'{"functionName": "hello"}', function).priority == 7
    assert draft(b'{"functionName": "hello", "priority": 0}', function).priority == 0


def test_unknown_fields_are_ignored_and_the_last_of_repeated_ones_counts() -> None:
    assert draft(b'{"functionName": "a", "who": [1], "functionName": "b"}').function_name == "b"


@pytest.mark.parametrize(
    ("value", "start_ms"),
    [
        ("2021-09-29T15:17:07.051Z", 1632928627051),
        ("2021-09-29T17:17:07.051+02:00", 1632928627051),
        (1632928627051, 1632928627051),
        (1632928627051.0, 1632928627051),
        (0, 0),
        (-1, -1),
    ],
)
def test_start_timestamps_are_rfc3339_or_milliseconds(value: Any, start_ms: int) -> None:
    assert draft_of(startTimestamp=value).start_ms == start_ms


@pytest.mark.parametrize(
    "value", ["", "tomorrow", "2021-09-29", "2021-09-29T15:17:07", "1632928627051", True, [], {}, 1e18, 10**30]
)
def test_other_start_timestamps_are_refused(value: Any) -> None:
    body = json.dumps({"functionName": "hello", "startTimestamp": value}).encode()
    assert_refused(body, errors.FIELD_FORMAT, "startTimestamp", "RFC 3339")


@pytest.mark.parametrize("value", [5, 5.0, -limits.PRIORITY_MAX, limits.PRIORITY_MAX, 0])
def test_priorities_are_whole_numbers(value: float) -> None:
    assert draft_of(priority=value).priority == value


@pytest.mark.parametrize("value", [1.5, "1", True, [], {}, limits.PRIORITY_MAX + 1, -1e300])
def test_other_priorities_are_refused(value: Any) -> None:
    assert_refused({"functionName": "hello", "priority": value}, errors.FIELD_FORMAT, "priority", "whole number")


@pytest.mark.parametrize("tags", [[], ["a", "a"], [""], ["x" * 256], ["🦆" * 256], ["t"] * 100])
def test_tags_are_strings(tags: list[str]) -> None:
    assert draft_of(tags=tags).tags == tuple(tags)


@pytest.mark.parametrize("tags", ["a", [1], [None], [["a"]], {"a": 1}, ["x" * 257], ["t"] * 101])
def test_other_tags_are_refused(tags: Any) -> None:
    assert_refused({"functionName": "hello", "tags": tags}, errors.FIELD_FORMAT, "tags", "256", "100")


@pytest.mark.parametrize(
    "name",
    [
        "hello",
        "h",
        "Hello_World-2",
        "x" * 64,
        "hello:live",
        "hello:$LATEST",
        "123456789012:function:hello",
        "arn:aws:lambda:eu-west-1:123456789012:function:hello",
        "arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:hello:v1",
        "arn:aws-cn:lambda:cn-north-1:123456789012:function:hello:$LATEST",
    ],
)
def test_functions_go_by_name_or_arn(name: str) -> None:
    assert draft(orjson.dumps({"functionName": name})).function_name == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "hello world",
        "x" * 65,
        "hello\n",
        "hello/../../x",
        "hellö",
        "hello:",
        "arn:aws:lambda:eu-west-1:123456789012:hello",
        "arn:aws:s3:::bucket",
        "arn:aws:lambda:eu-west-1:12345678901:function:hello",
        "arn:aws:lambda:eu-west-1:123456789012:function:" + "x" * 64 + ":" + "v" * 60,
        3,
        ["hello"],
    ],
)
def test_other_function_names_are_refused(name: Any) -> None:
    assert_refused({"functionName": name}, errors.FIELD_FORMAT, "functionName")


@pytest.mark.parametrize("body", [b"{}", b'{"functionName": null}', b'{"data": {}}', b'{"data": 1}'])
def test_a_missing_function_name_is_named(body: bytes) -> None:
    assert_refused(body, errors.MISSING_FIELDS, "functionName")


@pytest.mark.parametrize(
    "body",
    [
        b"nope",
        b"{",
        b'{"functionName": "a"',
        b'{"functionName": "a"} x',
        b"{'functionName': 'a'}",
        b'{"functionName": "a", "priority": NaN}',
        b'{"functionName": "a", "priority": 01}',
        b'{"functionName": "\xff"}',
        b'{"functionName": "\\ud800"}',
        b'{"functionName": "a", "tags": ["\\udc00"]}',
        b'\xef\xbb\xbf{"functionName": "a"}',
        '{"functionName": "a"}'.encode("utf-16"),
        b"\0",
    ],
)
def test_what_is_not_strict_json_is_refused(body: bytes) -> None:
    assert_refused(body, errors.BODY_FORMAT, "not JSON")


@pytest.mark.parametrize("body", [b"[]", b"1", b'"functionName"', b"null", b"true", b"[{}]"])
def test_json_that_is_no_object_is_refused(body: bytes) -> None:
    assert_refused(body, errors.BODY_FORMAT, "not an object")


@pytest.mark.parametrize("data", ["[]", "1", '"{}"', "true"])
def test_data_that_is_no_object_is_refused(data: str) -> None:
    assert_refused(f'{{"functionName": "a", "data": {data}}}'.encode(), errors.FIELD_FORMAT, "data")


@pytest.mark.parametrize("value", [b'"\xff"', b"1e999", b'"\xed\xa0\x80"'])
def test_data_that_a_strict_reader_refuses_is_refused(value: bytes) -> None:
    assert_refused(b'{"functionName": "a", "data": {"a": ' + value + b"}}", errors.FIELD_FORMAT, "data")


def nested(depth: int) -> bytes:
    """A body whose ``data`` nests ``depth`` deep, itself counted."""
    return b'{"functionName": "a", "data": {"a": ' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}}"


def test_data_may_nest_up_to_the_limit() -> None:
    assert draft(nested(limits.TASK_DATA_MAX_DEPTH)).data.count(b"[") == limits.TASK_DATA_MAX_DEPTH - 1


@pytest.mark.parametrize("depth", [limits.TASK_DATA_MAX_DEPTH + 1, 900, 990, 1023, 1100, 100_000])
def test_data_nested_deeper_is_refused(depth: int) -> None:
    assert_refused(nested(depth), errors.FIELD_FORMAT, "data")


def test_many_brackets_side_by_side_are_not_deep() -> None:
    flat = b"[" + b",".join([b'{"[": "[{"}'] * 2000) + b"]"
    assert draft(b'{"functionName": "a", "data": {"a": ' + flat + b"}}").data == b'{"a": ' + flat + b"}"


def depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return isinstance(value, dict | list) + max(map(depth, inner), default=0)


@given(st.dictionaries(st.text(alphabet='["\\]{}a', max_size=4), json_values), st.integers(-2, 2))
def test_data_is_as_deep_as_the_brackets_outside_of_its_texts_say(value: dict[str, Any], difference: int) -> None:
    """Put inside of so many arrays that it is just deep enough, or not quite."""
    around = limits.TASK_DATA_MAX_DEPTH - depth(value) + difference - 1
    text = json.dumps(value, ensure_ascii=False).encode()
    data = b'{"":' + b"[" * around + text + b"]" * around + b"}"
    result = outcome(b'{"functionName": "a", "data": ' + data + b"}")
    assert isinstance(result, ContractError) == (difference > 0)


def test_data_may_be_as_large_as_an_event_leaves_room_for() -> None:
    most = limits.TASK_DATA_MAX_BYTES - len('{"a":""}')
    assert len(draft_of(data={"a": "x" * most}).data) == limits.TASK_DATA_MAX_BYTES
    assert_refused({"functionName": "a", "data": {"a": "x" * (most + 1)}}, errors.BODY_TOO_LARGE, "data", "limit")
