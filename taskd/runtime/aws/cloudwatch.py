"""Finding one call's log in CloudWatch Logs.

A line that a function prints need not hold the id of the call. But one log stream belongs to one execution
environment, which runs one call at a time: so the lines of a call are those of its stream from its first line on,
up to the first line of the next call. Only Lambda's own lines, which do hold the id, are searched for.
"""

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

from msgspec import Struct

from taskd.model import limits
from taskd.model.logline import LogLine
from taskd.runtime.aws.log_tail import is_platform_line, is_report_line, is_start_line
from taskd.runtime.base import LINE_OVERHEAD_BYTES, truncation_notice

_PAGES_MAX = 20
"""Read of one search at most; each is up to 1 MB."""
_CLOCKS_APART_MS = 5 * 60 * 1000
"""A clock further off than this could not have signed the call."""


class LogRequest(Struct, frozen=True, gc=False):
    """A call whose whole log is to be found."""

    call_id: str
    request_id: str
    """Lambda's id of the call."""
    group: str
    answered_ms: int
    lasted_max_ms: int
    """How long before ``answered_ms`` the call began, at most."""


class _Event(Struct, frozen=True, gc=False):
    """One entry of a log stream."""

    stream: str
    timestamp_ms: int
    message: str


async def find_log(client: Any, request: LogRequest) -> list[LogLine] | None:
    """The lines that the call printed, at most ``LOG_MAX_BYTES_PER_CALL`` of them; ``None`` while its end is missing.

    Raises ``botocore``'s own errors.
    """
    since_ms = request.answered_ms - request.lasted_max_ms - _CLOCKS_APART_MS
    window = {"startTime": since_ms, "endTime": request.answered_ms + _CLOCKS_APART_MS}
    platform_lines = [
        event async for event in _search(client, request.group, window, filterPattern=f'"{request.request_id}"')
    ]
    first = next((line for line in platform_lines if is_start_line(line.message)), None)
    last = next((line for line in reversed(platform_lines) if is_report_line(line.message)), None)
    if first is None or last is None:
        return None
    span = {"startTime": first.timestamp_ms, "endTime": max(line.timestamp_ms for line in platform_lines)}
    events = [event async for event in _search(client, request.group, span, logStreamNames=[first.stream])]
    return list(_truncated(_lines_of_call(events, request.request_id)))


async def _search(client: Any, group: str, window: dict[str, int], **criteria: Any) -> AsyncIterator[_Event]:
    """What is in the log between two moments (both included, in epoch milliseconds), in order within a stream."""
    pages = client.get_paginator("filter_log_events").paginate(logGroupName=group, **window, **criteria)
    count = 0
    async for page in pages:
        for event in page["events"]:
            yield _Event(event["logStreamName"], event["timestamp"], event["message"])
        count += 1
        if count == _PAGES_MAX:
            return


def _lines_of_call(events: Iterable[_Event], request_id: str) -> Iterator[LogLine]:
    within = False
    for event in events:
        if is_start_line(event.message):
            within = request_id in event.message
        if within and not is_platform_line(event.message):
            for line in event.message.split("\n"):
                if line:
                    yield LogLine(event.timestamp_ms, line.rstrip("\r"))


def _truncated(lines: Iterable[LogLine]) -> Iterator[LogLine]:
    left_bytes = limits.LOG_MAX_BYTES_PER_CALL
    for line in lines:
        left_bytes -= len(line.message.encode()) + LINE_OVERHEAD_BYTES
        if left_bytes < 0:
            yield truncation_notice(line.timestamp_ms)
            return
        yield line
