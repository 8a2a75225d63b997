"""The model's rules: ids, timestamps, the status table, the error catalogue, schedules' grid."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from support.clocks import FakeClock

from taskd.model import task as transitions
from taskd.model.errors import CATALOGUE
from taskd.model.firing import fire
from taskd.model.function import RetryPolicy
from taskd.model.objectid import ObjectIdFactory, is_object_id, object_id_seconds
from taskd.model.schedule import Schedule
from taskd.model.status import FINAL, NEXT, Status
from taskd.model.task import ErrorType, IllegalTransitionError, Task, TaskDraft, TaskError
from taskd.model.timestamps import MAX_MS, MIN_MS, format_ms, parse_rfc3339, parse_timestamp


@given(st.lists(st.integers(-3_000, 3_000), max_size=200))
def test_ids_ascend_whatever_the_clock_does(steps: list[int]) -> None:
    clock = FakeClock()
    new_id = ObjectIdFactory(clock)
    ids = []
    for step in steps:
        clock.advance(step)
        ids.append(new_id())
    assert ids == sorted(set(ids))
    assert all(is_object_id(an_id) for an_id in ids)


def test_ids_ascend_across_a_restart_within_one_second() -> None:
    clock = FakeClock()
    before = ObjectIdFactory(clock)()
    after = ObjectIdFactory(clock, last_id=before)()
    assert after > before


def test_ids_ascend_when_the_counter_of_a_second_runs_out() -> None:
    new_id = ObjectIdFactory(FakeClock())
    first = new_id()
    new_id._counter = 0xFFFFFF
    second = new_id()
    assert second > first
    assert object_id_seconds(second) == object_id_seconds(first) + 1


@pytest.mark.parametrize("text", ["", "0" * 23, "0" * 25, "G" * 24, "A" * 24, "0" * 23 + "\n", "٠" * 24])
def test_what_is_no_object_id_is_not_taken_for_one(text: str) -> None:
    assert not is_object_id(text)


@given(st.integers(MIN_MS, MAX_MS))
def test_a_timestamp_comes_back_as_it_was(epoch_ms: int) -> None:
    text = format_ms(epoch_ms)
    assert len(text) == 24
    assert parse_rfc3339(text) == epoch_ms


@given(st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1)), st.integers(-1439, 1439))
def test_any_offset_is_understood(naive: datetime, offset_min: int) -> None:
    moment = naive.replace(tzinfo=timezone(timedelta(minutes=offset_min)))
    expected = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert parse_rfc3339(moment.isoformat(timespec="microseconds")) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2021-09-29T15:17:07.051Z", 1632928627051),
        ("2021-09-29t15:17:07z", 1632928627000),
        ("2016-12-31T23:59:60Z", 1483228800000),
        ("2021-02-29T00:00:00Z", None),
        ("2021-09-29T15:17:07", None),
        ("2021-09-29", None),
        ("2021-09-29T24:00:00Z", None),
        ("2021-09-29T15:17:07+24:00", None),
        ("0001-01-01T00:00:00+01:00", None),
        ("٢021-09-29T15:17:07Z", None),
    ],
)
def test_only_full_timestamps_are_timestamps(text: str, expected: int | None) -> None:
    assert parse_rfc3339(text) == expected


@pytest.mark.parametrize("value", [True, None, [], {}, float("nan"), float("inf"), MAX_MS + 1, MIN_MS - 1])
def test_what_cannot_be_a_time_is_refused(value: object) -> None:
    assert parse_timestamp(value) is None


def test_a_number_is_milliseconds() -> None:
    assert parse_timestamp(1632928627051) == 1632928627051
    assert parse_timestamp(1632928627051.9) == 1632928627051


def a_task(status: Status) -> Task:
    draft = TaskDraft(function_name="f", data=b"{}", start_ms=0)
    task = transitions.create(draft, "0" * 24, 1, 0)
    return task if status is Status.NEW else replace(task, status=status)


ERROR = TaskError(ErrorType.RUNTIME, "Error", "it failed")
TRANSITIONS = {
    Status.IN_PROGRESS: lambda task: transitions.start(task, 5),
    Status.NEW: lambda task: transitions.requeue(task, 5, 9),
    Status.COMPLETE: lambda task: transitions.complete(task, 5),
    Status.FAILED: lambda task: transitions.fail(task, 5, ERROR),
    Status.RETRIED: lambda task: transitions.retry(task, 5, ERROR, "1" * 24),
    Status.CANCELED: lambda task: transitions.cancel(task, 5),
}


@pytest.mark.parametrize("to", Status)
@pytest.mark.parametrize("status", Status)
def test_a_transition_happens_exactly_where_the_table_has_it(status: Status, to: Status) -> None:
    task = a_task(status)
    if to in NEXT[status]:
        after = TRANSITIONS[to](task)
        assert (after.status, after.status_changed_ms) == (to, 5)
    else:
        with pytest.raises(IllegalTransitionError, match=f"is {status}.*become {to}"):
            TRANSITIONS[to](task)


def test_final_statuses_are_those_of_the_api() -> None:
    assert {Status.COMPLETE, Status.FAILED, Status.RETRIED, Status.CANCELED} == FINAL


def test_error_codes_and_names_are_unique() -> None:
    assert len({kind.name for kind in CATALOGUE.values()}) == len(CATALOGUE)
    assert all(code == kind.code and 400 <= kind.http_status < 600 for code, kind in CATALOGUE.items())


def test_an_empty_list_of_errors_retries_every_one() -> None:
    assert RetryPolicy(enabled=True).covers("Anything")
    assert RetryPolicy(enabled=True, errors_to_retry=("A",)).covers("A")
    assert not RetryPolicy(enabled=True, errors_to_retry=("A",)).covers("B")
    assert not RetryPolicy(enabled=False, errors_to_retry=("A",)).covers("A")


@given(st.integers(1, 10**7), st.integers(0, 10**7))
def test_occurrences_stay_on_the_grid(interval_ms: int, late_ms: int) -> None:
    start_ms = 1_700_000_000_123
    schedule = Schedule("0" * 24, interval_ms, "f", b"{}", 0, start_ms, start_ms, 0, 0)
    firing = fire(schedule, start_ms + late_ms, is_active=True)
    next_ms, skipped = firing.schedule.next_ms, firing.skipped
    assert firing.task is not None
    assert firing.task.start_ms == start_ms
    assert (next_ms - start_ms) % interval_ms == 0
    assert start_ms + late_ms < next_ms <= start_ms + late_ms + interval_ms
    assert skipped == (next_ms - start_ms) // interval_ms - 1
