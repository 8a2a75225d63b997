"""Which log tails lack the beginning of the log, and which lines are Lambda's own."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskd.runtime.aws.invoke_response import LOG_RESULT, REQUEST_ID, truncated_log_request_id
from taskd.runtime.aws.log_tail import (
    has_platform_lines_only,
    is_platform_line,
    is_report_line,
    is_start_line,
    is_truncated,
    read_log_tail,
)

ID = "11111111-2222-4333-8444-555555555555"
START = f"START RequestId: {ID} Version: $LATEST\n"
JSON_START = f'{{"time":"2026-01-01T00:00:00.000Z","type":"platform.start","record":{{"requestId":"{ID}"}}}}\n'
PADDING = "x" * 79 + "\n"


def encoded(text: str) -> bytes:
    return base64.b64encode(text.encode())


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("", False),
        (PADDING * 10, False),
        (START + PADDING * 50, False),
        ("INIT_START Runtime Version: x\n" + START + PADDING * 50, False),
        (JSON_START + PADDING * 50, False),
        (PADDING * 51, True),
        ("\u00e9" * 2048, True),
        ("say " + START + PADDING * 50, True),
    ],
)
def test_a_tail_is_cut_if_it_is_long_and_shows_no_beginning(text: str, *, cut: bool) -> None:
    assert is_truncated(encoded(text)) is cut


def test_a_tail_that_is_not_base64_is_no_cut_one() -> None:
    assert not is_truncated(b"=" * 6000)
    assert not is_truncated(b"\xff" * 6000)


def test_a_cut_log_is_sought_by_a_sound_request_id_alone() -> None:
    tail = encoded(PADDING * 51)
    assert truncated_log_request_id({LOG_RESULT: tail, REQUEST_ID: ID.encode()}) == ID
    for request_id in (b"", b"\xff", ID.encode() + b"\n", ID.encode() + b'"'):
        assert truncated_log_request_id({LOG_RESULT: tail, REQUEST_ID: request_id}) is None
    assert truncated_log_request_id({LOG_RESULT: tail}) is None
    assert truncated_log_request_id({REQUEST_ID: ID.encode()}) is None


def test_lambdas_own_lines_are_known_in_both_formats() -> None:
    report = f"REPORT RequestId: {ID}\tDuration: 1.00 ms"
    json_report = JSON_START.replace("platform.start", "platform.report")
    assert all(is_platform_line(line) for line in (START, report, JSON_START, json_report))
    assert all(is_start_line(line) for line in (START, JSON_START))
    assert all(is_report_line(line) for line in (report, json_report))
    assert not is_start_line(JSON_START.replace("platform.start", "platform.startled"))
    assert not is_platform_line("I say START RequestId: " + ID)


_LOG_PARTS = st.sampled_from(
    [
        f"START RequestId: {ID} Version: $LATEST",
        f"END RequestId: {ID}",
        f"REPORT RequestId: {ID}\tDuration: 1 ms",
        *("printed", "", "START", f"END RequestId: {ID[1:]}", "\r"),
    ]
)


@given(st.lists(_LOG_PARTS, max_size=6))
def test_a_log_taken_for_silent_has_no_line_that_was_printed(parts: list[str]) -> None:
    printed = [part.rstrip("\r") for part in parts if part.rstrip("\r") and not is_platform_line(part)]
    log = "\n".join(parts).encode()
    assert not (has_platform_lines_only(log) and printed)
    assert [line.message for line in read_log_tail(base64.b64encode(log), 0)] == printed


def test_the_log_of_a_function_that_prints_nothing_is_silent() -> None:
    lines = [f"START RequestId: {ID} Version: $LATEST", f"END RequestId: {ID}", f"REPORT RequestId: {ID}\tDuration: 1"]
    assert has_platform_lines_only(("\n".join(lines) + "\n").encode())
