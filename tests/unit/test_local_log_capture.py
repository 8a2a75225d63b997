import os

from hypothesis import given
from hypothesis import strategies as st

from taskd.model import limits
from taskd.runtime.local.log_capture import CallLog, OutputPipe


def new_log() -> CallLog:
    return CallLog(lambda: 7)


def messages(log: CallLog) -> list[str]:
    return [line.message for line in log.take()]


@given(st.lists(st.binary(max_size=40)))
def test_lines_do_not_depend_on_the_pieces_they_come_in(pieces: list[bytes]) -> None:
    whole, in_pieces = new_log(), new_log()
    whole.feed(b"".join(pieces))
    for piece in pieces:
        in_pieces.feed(piece)
    assert messages(in_pieces) == messages(whole)


def test_line_ends_of_both_kinds_are_cut_off() -> None:
    log = new_log()
    log.feed(b"unix\nwindows\r\n\nprogress 1%\rprogress 2%\nunfinished")
    assert messages(log) == ["unix", "windows", "", "progress 1%\rprogress 2%", "unfinished"]


def test_line_ends_inside_one_line_are_given_back() -> None:
    log = new_log()
    log.feed(b"one\r\0of\r")
    log.feed(b"\0several\r\nnext")
    assert messages(log) == ["one\nof\nseveral", "next"]


def test_text_that_is_not_utf8_is_replaced() -> None:
    log = new_log()
    log.feed(b"caf\xe9 \xf0\x9f\x98\x80\n")
    assert messages(log) == ["caf\ufffd \U0001f600"]


def test_taking_begins_a_new_log() -> None:
    log = new_log()
    log.feed(b"first\n")
    assert messages(log) == ["first"]
    assert messages(log) == []


def test_a_log_over_the_limit_is_cut_with_a_line_that_says_so() -> None:
    log = new_log()
    for _ in range(40):
        log.feed(b"x" * limits.LOG_MAX_BYTES_PER_CALL)
    huge, notice = messages(log)
    assert len(huge) == limits.LOG_MAX_BYTES_PER_CALL
    assert "cut here" in notice
    log.feed(b"the next call is not cut\n")
    assert messages(log) == ["the next call is not cut"]


def test_empty_lines_are_not_free() -> None:
    log = new_log()
    for _ in range(16):
        log.feed(b"\n" * 65536)
    lines = messages(log)
    assert len(lines) < 50_000
    assert "cut here" in lines[-1]


async def test_what_was_printed_before_the_end_of_a_call_is_taken_at_once() -> None:
    pipe = OutputPipe(lambda: 7)
    os.write(pipe.write_fd, b"hello\nworld\n")
    assert [line.message for line in pipe.take()] == ["hello", "world"]
    pipe.close()


async def test_a_closed_pipe_has_no_more_lines() -> None:
    pipe = OutputPipe(lambda: 7)
    os.write(pipe.write_fd, b"last")
    pipe.close_write_end()
    assert [line.message for line in pipe.take()] == ["last"]
    assert pipe.take() == ()
    pipe.close()
