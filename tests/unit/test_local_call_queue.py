"""The queue of calls that wait for a sandbox."""

import uuid

import pytest

from taskd.runtime.base import Invocation, InvocationResult, Success
from taskd.runtime.local.call_queue import Call, CallQueue, new_request_id


def call(name: str, owner: str | None = None, results: list[InvocationResult] | None = None) -> Call:
    told = results if results is not None else []
    return Call(Invocation("5f00000000000000000000aa", name, b"{}", 1.0, owner), told.append)


def filled(names: str, owners: str | None = None) -> tuple[CallQueue, list[Call]]:
    """A queue of calls that came in this order, and these."""
    queue, calls = CallQueue(), [call(name, owner) for name, owner in zip(names, owners or [None] * 99, strict=False)]
    for moment_s, one in enumerate(calls):
        one.waiting_since_s = moment_s
        queue.add(one)
    return queue, calls


def test_calls_leave_in_the_order_they_came_over_all_functions_and_for_each() -> None:
    queue, calls = filled("abab")
    assert queue.first() is calls[0]
    assert queue.first_of("b") is calls[1]
    queue.remove(calls[1])
    assert [queue.first_of("a"), queue.first_of("b")] == [calls[0], calls[3]]
    queue.remove(calls[0])
    assert queue.first() is calls[2]
    assert set(queue) == {calls[2], calls[3]}


@pytest.mark.parametrize("end", ["settled", "abandoned"])
def test_a_call_that_ends_while_it_waits_is_skipped(end: str) -> None:
    queue, calls = filled("aab")
    if end == "settled":
        calls[0].settle(Success(b"1"))
    else:
        calls[0].abandon()
    assert queue.first() is queue.first_of("a") is calls[1]
    assert queue.remove_all() == calls[1:]
    assert queue.first() is None


@pytest.mark.parametrize("end", ["settled", "abandoned"])
def test_whoever_has_fewest_sandboxes_is_next_until_a_call_of_theirs_ends(end: str) -> None:
    queue, calls = filled("aaa", "xxy")
    queue.remove(calls[0])
    queue.began(calls[0])
    assert queue.first() is calls[2]
    if end == "settled":
        calls[0].settle(Success(b"1"))
    calls[0].abandon()
    assert queue.first() is calls[1]
    assert not queue._running


def test_nothing_is_kept_of_calls_that_were_taken() -> None:
    queue, calls = filled("ab" * 20)
    for one in calls:
        queue.remove(one)
    assert queue.first() is None
    assert not queue._by_function


def test_a_result_is_passed_on_once() -> None:
    results: list[InvocationResult] = []
    one = call("a", results=results)
    one.settle(Success(b"1"))
    one.settle(Success(b"2"))
    assert results == [Success(b"1")]
    assert one.is_settled


def test_request_ids_are_random_uuids() -> None:
    ids = {new_request_id() for _ in range(1000)}
    assert len(ids) == 1000
    for text in ids:
        parsed = uuid.UUID(text)
        assert (str(parsed), parsed.version, parsed.variant) == (text, 4, uuid.RFC_4122)
