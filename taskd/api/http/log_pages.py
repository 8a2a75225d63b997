"""Pages of log lines, whatever kind of record left them."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from taskd.api.http.answers import LogPage, PageInfo, json_answer
from taskd.api.http.request_parts import object_id, query_of
from taskd.model.errors import ContractError, ErrorKind
from taskd.model.logline import LogLine
from taskd.model.timestamps import MIN_MS
from taskd.model.wire import log_line
from taskd.rql.time_bounds import single_lower_bound
from taskd.store.base import TaskStore


async def log_answer(
    request: web.Request, store: TaskStore, require: Callable[[str], Awaitable[object]], no_lines: ErrorKind
) -> web.StreamResponse:
    """A page of the log lines of the record that the path names; ``require`` raises if it can have none.

    :raises ContractError: also ``no_lines``, if there are none.
    """
    record_id, query = object_id(request), query_of(request)
    bound_ms = single_lower_bound(query, "timestamp")
    since_ms = MIN_MS if bound_ms is None else bound_ms
    await require(record_id)
    lines = await store.find_logs(record_id, since_ms, query.offset, query.limit)
    if not lines:
        await _require_any(store, record_id, no_lines)
    page = PageInfo(offset=query.offset, limit=query.limit)
    return json_answer(LogPage(page=page, data=[log_line(line) for line in lines]))


async def _require_any(store: TaskStore, record_id: str, no_lines: ErrorKind) -> None:
    """An empty page of a log is a page; a record without any lines is an error."""
    first: list[LogLine] = await store.find_logs(record_id, MIN_MS, 0, 1)
    if not first:
        raise ContractError(no_lines, f"{record_id} left no log lines.")
