"""The tail of a function's log, as the Invoke API returns it: base64 of the last 4 KB that the call logged.

Lambda's own lines (start, end, report) are left out: they describe the call and were not printed by the
function. The lines carry no dependable time of their own, so each gets the time at which the answer came.
Where the log was longer than 4 KB the first line may lack its beginning.
"""

import binascii
import re

from taskd.model.logline import LogLine

_PLATFORM_LINE = re.compile(
    r"(START|END|REPORT) RequestId: [0-9a-f-]{36}\b"
    r"|(XRAY TraceId|INIT_START Runtime Version|INIT_REPORT Init Duration|RESTORE_START Runtime Version): "
    r'|\{"time":"[^"]*","type":"platform\.'
)


def read_log_tail(encoded: bytes, now_ms: int) -> tuple[LogLine, ...]:
    """The lines that the function printed, stamped ``now_ms``; none if ``encoded`` is not base64."""
    try:
        text = binascii.a2b_base64(encoded).decode("utf-8", "replace")
    except ValueError:
        return ()
    lines = (line.rstrip("\r") for line in text.split("\n"))
    return tuple(LogLine(now_ms, line) for line in lines if line and not _PLATFORM_LINE.match(line))
