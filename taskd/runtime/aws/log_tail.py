"""The tail of a function's log, as the Invoke API returns it: base64 of the last 4 KB that the call logged.

Lambda's own lines (start, end, report) are left out: they describe the call and were not printed by the
function. The lines carry no dependable time of their own, so each gets the time at which the response came.
Where the log was longer than 4 KB the first line may lack its beginning.
"""

import binascii
import re

from taskd.model.logline import LogLine

_TRUNCATED_BASE64_CHARS_MIN = 3840 * 4 // 3
"""A shorter tail is a whole log. Less than that of 4 KB, should a tail ever begin at the start of a line."""


def read_log_tail(encoded: bytes, now_ms: int) -> tuple[LogLine, ...]:
    """The lines that the function printed, stamped ``now_ms``; none if ``encoded`` is not base64."""
    if has_platform_lines_only(_decoded(encoded)):  # most calls print nothing, and this is the hot path
        return ()
    return tuple(LogLine(now_ms, line) for line in _lines(encoded) if line and not is_platform_line(line))


def is_truncated(encoded: bytes) -> bool:
    """Whether the beginning of the log is missing: the tail is as long as tails get, and shows no beginning."""
    if len(encoded) < _TRUNCATED_BASE64_CHARS_MIN:
        return False
    lines = _lines(encoded)
    return any(lines) and not any(is_start_line(line) for line in lines)


def _lines(encoded: bytes) -> list[str]:
    return [line.rstrip("\r") for line in _decoded(encoded).decode("utf-8", "replace").split("\n")]


def _decoded(encoded: bytes) -> bytes:
    try:
        return binascii.a2b_base64(encoded)
    except ValueError:
        return b""


_PLATFORM_LINE = re.compile(
    r"(START|END|REPORT) RequestId: [0-9a-f-]{36}\b"
    r"|(XRAY TraceId|INIT_START Runtime Version|INIT_REPORT Init Duration|RESTORE_START Runtime Version): "
    r'|\{"time":"[^"]*","type":"platform\.'
)


_PLATFORM_LINES_ONLY = re.compile(
    rb"START RequestId: [0-9a-f-]{36}\b[^\n]*\n"
    rb"END RequestId: [0-9a-f-]{36}\b[^\n]*\n"
    rb"REPORT RequestId: [0-9a-f-]{36}\b[^\n]*\n*"
)


_START_LINE = re.compile(r'START RequestId: |\{"time":"[^"]*","type":"platform\.start"')


_REPORT_LINE = re.compile(r'REPORT RequestId: |\{"time":"[^"]*","type":"platform\.report"')


def is_platform_line(line: str) -> bool:
    """Whether the line is Lambda's own: it describes the call and was not printed by the function."""
    return _PLATFORM_LINE.match(line) is not None


def has_platform_lines_only(log: bytes) -> bool:
    """Whether a function printed nothing: as :func:`is_platform_line` for all of its log, in one cheap step."""
    return _PLATFORM_LINES_ONLY.fullmatch(log) is not None


def is_start_line(line: str) -> bool:
    """Whether a call's log begins with this line."""
    return _START_LINE.match(line) is not None


def is_report_line(line: str) -> bool:
    """Whether the line is the last of a call's log, but for what a function killed at its time limit leaves."""
    return _REPORT_LINE.match(line) is not None
