"""The lines that Lambda itself writes into a function's log, as text or (where so configured) as JSON."""

import re

_PLATFORM_LINE = re.compile(
    r"(START|END|REPORT) RequestId: [0-9a-f-]{36}\b"
    r"|(XRAY TraceId|INIT_START Runtime Version|INIT_REPORT Init Duration|RESTORE_START Runtime Version): "
    r'|\{"time":"[^"]*","type":"platform\.'
)
_SILENT_CALL = re.compile(
    rb"START RequestId: [0-9a-f-]{36}\b[^\n]*\n"
    rb"END RequestId: [0-9a-f-]{36}\b[^\n]*\n"
    rb"REPORT RequestId: [0-9a-f-]{36}\b[^\n]*\n*"
)
_BEGINNING = re.compile(r'START RequestId: |\{"time":"[^"]*","type":"platform\.start"')
_END = re.compile(r'REPORT RequestId: |\{"time":"[^"]*","type":"platform\.report"')


def is_platform_line(line: str) -> bool:
    """Whether the line is Lambda's own: it describes the call and was not printed by the function."""
    return _PLATFORM_LINE.match(line) is not None


def is_silent(log: bytes) -> bool:
    """Whether a function printed nothing: as :func:`is_platform_line` for all of its log, in one cheap step."""
    return _SILENT_CALL.fullmatch(log) is not None


def begins_a_call(line: str) -> bool:
    """Whether a call's log begins with this line."""
    return _BEGINNING.match(line) is not None


def ends_a_call(line: str) -> bool:
    """Whether the line is the last of a call's log, but for what a function killed at its time limit leaves."""
    return _END.match(line) is not None
