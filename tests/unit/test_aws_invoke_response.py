"""What each answer of the Invoke API means."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskd.model.logline import LogLine
from taskd.runtime.aws.invoke_response import HEADERS_READ, classify, classify_oversized
from taskd.runtime.base import (
    FunctionError,
    InvocationError,
    InvocationResult,
    OutcomeUnknown,
    Success,
    Throttled,
)

NOW_MS = 1_700_000_000_000
UUID = "11111111-2222-4333-8444-555555555555"


def refusal(status: int, name: str = "", body: object = None, **headers: bytes) -> InvocationResult:
    named = {b"x-amzn-errortype": name.encode()} if name else {}
    named |= {key.replace("_", "-").encode(): value for key, value in headers.items()}
    return classify(status, named, json.dumps(body or {}).encode(), NOW_MS)


def logs_of(log: str | bytes) -> list[str]:
    raw = log if isinstance(log, bytes) else log.encode()
    result = classify(200, {b"x-amz-log-result": base64.b64encode(raw)}, b"{}", NOW_MS)
    assert isinstance(result, Success)
    return [line.message for line in result.logs]


def test_200_is_success() -> None:
    assert classify(200, {}, b'{"a":1}', NOW_MS) == Success(b'{"a":1}')


def test_an_empty_result_is_null() -> None:
    assert classify(200, {}, b"", NOW_MS) == Success(b"null")


def function_error(body: bytes, kind: bytes = b"Unhandled") -> InvocationResult:
    return classify(200, {b"x-amz-function-error": kind}, body, NOW_MS)


def test_200_with_a_function_error_is_the_functions_error() -> None:
    assert function_error(b'{"errorType":"ValueError","errorMessage":"no"}') == FunctionError("ValueError", "no")


@pytest.mark.parametrize(
    ("body", "name", "message"),
    [
        (b'{"errorMessage":"Task timed out after 3.00 s"}', "Unhandled", "Task timed out after 3.00 s"),
        (b'{"errorType":"E"}', "E", '{"errorType":"E"}'),
        (b'{"errorType":null,"errorMessage":null}', "Unhandled", '{"errorType":null,"errorMessage":null}'),
        (b'{"errorType":"E","errorMessage":{"deep":[1]}}', "E", '{"deep": [1]}'),
        (b'{"errorType":404,"errorMessage":0}', "404", "0"),
        (b'{"errorType":"E","errorMessage":"half a pair \\ud800"}', "E", "half a pair ?"),
        (b"just text", "Unhandled", "just text"),
        (b"\xff\xfe", "Unhandled", "\ufffd\ufffd"),
        (b"[1]", "Unhandled", "[1]"),
        (b"", "Unhandled", ""),
        (b"[" * 100_000, "Unhandled", "[" * 1000),
    ],
)
def test_a_malformed_function_error_is_still_one(body: bytes, name: str, message: str) -> None:
    assert function_error(body) == FunctionError(name, message)


def test_an_error_without_a_type_is_named_by_the_header() -> None:
    assert function_error(b"{}", b"Handled") == FunctionError("Handled", "{}")
    assert function_error(b"{}", b"") == FunctionError("Unhandled", "{}")


@pytest.mark.parametrize(
    ("reason", "everything", "overload"),
    [
        ("ConcurrentInvocationLimitExceeded", True, True),
        ("CallerRateLimitExceeded", True, True),
        ("ReservedFunctionConcurrentInvocationLimitExceeded", False, True),
        ("ReservedFunctionInvocationRateLimitExceeded", False, True),
        ("FunctionInvocationRateLimitExceeded", False, True),
        ("ConcurrentSnapshotCreateLimitExceeded", False, False),
        ("SomethingNew", True, True),
    ],
)
def test_throttling_names_its_reason(reason: str, everything: bool, overload: bool) -> None:
    result = refusal(429, "TooManyRequestsException", {"Reason": reason})
    assert result == Throttled(reason, None, everything, overload)


def test_throttling_without_a_reason_holds_back_everything() -> None:
    assert classify(429, {}, b"<html>", NOW_MS) == Throttled("TooManyRequestsException", None, everything=True)


@pytest.mark.parametrize(
    ("header", "body", "seconds"),
    [
        (b"7", {}, 7.0),
        (b"0.5", {"retryAfterSeconds": "9"}, 0.5),
        (None, {"retryAfterSeconds": "9"}, 9.0),
        (None, {"retryAfterSeconds": 3}, 3.0),
        (b"Wed, 21 Oct 2026 07:28:00 GMT", {}, None),
        (b"-1", {}, None),
        (b"nan", {}, None),
        (b"inf", {}, None),
        (b"\xff", {}, None),
    ],
)
def test_the_wait_that_throttling_asks_for(header: bytes | None, body: object, seconds: float | None) -> None:
    headers = {} if header is None else {"retry_after": header}
    result = refusal(429, "TooManyRequestsException", body, **headers)
    assert isinstance(result, Throttled)
    assert result.retry_after_s == seconds


@pytest.mark.parametrize(
    ("status", "name", "everything", "overload"),
    [
        (400, "ThrottlingException", True, True),
        (403, "ExpiredTokenException", True, False),
        (409, "ResourceConflictException", False, False),
        (409, "CodeArtifactUserPendingException", False, False),
        (409, "CodeArtifactUserDeletedException", False, False),
        (409, "SnapStartNotReadyException", False, False),
        (409, "SnapStartRegenerationFailureException", False, False),
        (502, "EC2ThrottledException", False, True),
        (502, "ENILimitReachedException", False, True),
        (502, "ENINotReadyException", False, False),
        (502, "ResourceNotReadyException", False, False),
    ],
)
def test_a_refusal_that_passes_is_tried_again(status: int, name: str, everything: bool, overload: bool) -> None:
    assert refusal(status, name, {"Message": "wait"}) == Throttled(name, None, everything, overload)


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (400, "InvalidParameterValueException"),
        (400, "InvalidRequestContentException"),
        (400, "RecursiveInvocationException"),
        (400, "SnapStartException"),
        (402, "ServiceQuotaExceededException"),
        (403, "AccessDeniedException"),
        (403, "UnrecognizedClientException"),
        (403, "EFSMountFailureException"),
        (404, "ResourceNotFoundException"),
        (408, "SnapStartTimeoutException"),
        (408, "EFSMountTimeoutException"),
        (409, "CodeArtifactUserFailedException"),
        (410, "EFSIOException"),
        (413, "RequestTooLargeException"),
        (415, "UnsupportedMediaTypeException"),
        (500, "ServiceException"),
        (502, "EC2AccessDeniedException"),
        (502, "EC2UnexpectedException"),
        (502, "InvalidSecurityGroupIDException"),
        (502, "InvalidSubnetIDException"),
        (502, "InvalidRuntimeException"),
        (502, "InvalidZipFileException"),
        (502, "KMSAccessDeniedException"),
        (502, "KMSDisabledException"),
        (502, "KMSInvalidStateException"),
        (502, "KMSNotFoundException"),
        (502, "SubnetIPAddressLimitReachedException"),
        (503, "ServiceUnavailableException"),
    ],
)
def test_any_other_refusal_fails_with_the_services_name(status: int, name: str) -> None:
    assert refusal(status, name, {"Message": "why"}) == InvocationError(name, "why")


@pytest.mark.parametrize("status", [500, 502, 503, 504, 599])
def test_a_server_error_that_nobody_named_leaves_the_outcome_unknown(status: int) -> None:
    assert isinstance(classify(status, {}, b"<html>Bad Gateway</html>", NOW_MS), OutcomeUnknown)


@pytest.mark.parametrize("status", [202, 204, 206])
def test_an_answer_that_accepts_without_a_result_leaves_the_outcome_unknown(status: int) -> None:
    assert isinstance(classify(status, {}, b"", NOW_MS), OutcomeUnknown)


@pytest.mark.parametrize("status", [301, 400, 404, 405])
def test_a_refusal_that_nobody_named_is_named_by_its_status(status: int) -> None:
    assert classify(status, {}, b"<html>", NOW_MS) == InvocationError(f"HTTP{status}", "<html>")


def test_a_refusal_always_has_a_message() -> None:
    assert classify(404, {}, b"", NOW_MS) == InvocationError("HTTP404", "The service answered with status 404.")


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({b"x-amzn-errortype": b"WantedException:http://internal.amazon.com/coral/"}, {}),
        ({b"x-amzn-errortype": b"WantedException"}, {"__type": "OtherException"}),
        ({}, {"__type": "com.amazonaws.lambda#WantedException"}),
        ({}, {"code": "WantedException", "Type": "User"}),
        ({}, {"Type": "WantedException"}),
    ],
)
def test_where_the_name_of_a_refusal_is_found(headers: dict[bytes, bytes], body: object) -> None:
    result = classify(400, headers, json.dumps(body).encode(), NOW_MS)
    assert isinstance(result, InvocationError)
    assert result.name == "WantedException"


def test_whose_fault_it_was_is_not_a_name() -> None:
    assert refusal(400, "", {"Type": "User", "message": "m"}) == InvocationError("HTTP400", "m")


def test_an_oversized_result_fails_as_on_lambda() -> None:
    result = classify_oversized(200, {})
    assert isinstance(result, FunctionError)
    assert result.name == "Function.ResponseSizeTooLarge"


def test_an_oversized_refusal_keeps_its_name() -> None:
    result = classify_oversized(404, {b"x-amzn-errortype": b"ResourceNotFoundException"})
    assert isinstance(result, InvocationError)
    assert result.name == "ResourceNotFoundException"


def test_log_lines_of_the_function_are_kept_and_lambdas_own_are_not() -> None:
    log = (
        f"INIT_START Runtime Version: python:3.12.v38\tRuntime Version ARN: arn\nSTART RequestId: {UUID} Version: 1\n"
        f"hello\r\n\n  indented\n2021-09-29T15:17:07.051Z\t{UUID}\tINFO\tw\u00f6rld\nEND RequestId: {UUID}\n"
        f"REPORT RequestId: {UUID}\tDuration: 1 ms\t\nXRAY TraceId: 1-2\tSegmentId: 3\tSampled: true\n"
    )
    assert logs_of(log) == ["hello", "  indented", f"2021-09-29T15:17:07.051Z\t{UUID}\tINFO\tw\u00f6rld"]


def test_json_logs_lose_lambdas_own_lines_too() -> None:
    log = '{"time":"2021-09-29T15:17:07.051Z","type":"platform.start","record":{}}\n{"level":"INFO","message":"hi"}\n'
    assert logs_of(log) == ['{"level":"INFO","message":"hi"}']


def test_lines_that_only_look_like_lambdas_own_are_kept() -> None:
    lines = ["START", "START RequestId: mine", "END of it", "REPORT RequestId: soon"]
    assert logs_of("\n".join(lines)) == lines


def test_a_log_that_was_cut_in_the_middle_of_a_character_is_kept() -> None:
    assert logs_of("\u20ac 5\nlast".encode()[1:]) == ["\ufffd\ufffd 5", "last"]


def test_a_log_that_is_not_base64_is_left_out() -> None:
    assert classify(200, {b"x-amz-log-result": b"A"}, b"{}", NOW_MS) == Success(b"{}")


def test_log_lines_carry_the_time_of_the_answer_also_when_the_function_failed() -> None:
    headers = {b"x-amz-log-result": base64.b64encode(b"why"), b"x-amz-function-error": b"Unhandled"}
    result = classify(200, headers, b'{"errorType":"E","errorMessage":"m"}', NOW_MS)
    assert result == FunctionError("E", "m", (LogLine(NOW_MS, "why"),))


_json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
_fields = st.sampled_from(["errorType", "errorMessage", "message", "Message", "Reason", "__type", "Type", "code"])
_bodies = st.one_of(
    st.binary(), _json.map(json.dumps).map(str.encode), st.dictionaries(_fields, _json).map(json.dumps).map(str.encode)
)


@given(st.integers(0, 999), st.dictionaries(st.sampled_from(sorted(HEADERS_READ)), st.binary()), _bodies)
def test_anything_at_all_is_some_result(status: int, headers: dict[bytes, bytes], body: bytes) -> None:
    for result in (classify(status, headers, body, NOW_MS), classify_oversized(status, headers)):
        assert isinstance(result, InvocationResult)
        for part in (getattr(result, "name", ""), getattr(result, "message", ""), getattr(result, "reason", "")):
            part.encode()
