"""The tail of a function's log, as the Invoke API returns it: base64 of the last 4 KB that the call logged.

Lambda's own lines (start, end, report) are left out: they describe the call and were not printed by the
function. The lines carry no dependable time of their own, so each gets the time at which the answer came.
Where the log was longer than 4 KB the first line may lack its beginning.
"""

import binascii

from taskd.model.logline import LogLine
from taskd.runtime.aws.platformlines import begins_a_call, is_platform_line, is_silent

_LONG_BASE64_CHARS = 3840 * 4 // 3
"""A shorter tail is a whole log. Less than that of 4 KB, should a tail ever be cut at the end of a line."""


def read_log_tail(encoded: bytes, now_ms: int) -> tuple[LogLine, ...]:
    """The lines that the function printed, stamped ``now_ms``; none if ``encoded`` is not base64."""
    if is_silent(_decoded(encoded)):  # most calls print nothing, and this is the hot path
        return ()
    return tuple(LogLine(now_ms, line) for line in _lines(encoded) if line and not is_platform_line(line))


def is_cut(encoded: bytes) -> bool:
    """Whether the beginning of the log is missing: the tail is as long as tails get, and shows no beginning."""
    if len(encoded) < _LONG_BASE64_CHARS:
        return False
    lines = _lines(encoded)
    return any(lines) and not any(begins_a_call(line) for line in lines)


def _lines(encoded: bytes) -> list[str]:
    return [line.rstrip("\r") for line in _decoded(encoded).decode("utf-8", "replace").split("\n")]


def _decoded(encoded: bytes) -> bytes:
    try:
        return binascii.a2b_base64(encoded)
    except ValueError:
        return b""
