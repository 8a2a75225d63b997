"""The logs of functions: what all tasks of one function printed."""

from collections.abc import Iterator

from aiohttp import web

from taskd.api.http.authorization import caller_of
from taskd.api.http.json_response import json_response
from taskd.api.http.pages import LogPage, log_page
from taskd.api.http.request_parts import query_of
from taskd.api.http.routing import Route
from taskd.model import errors, limits
from taskd.model.clock import Clock
from taskd.model.errors import ContractError
from taskd.model.permissions import Permission
from taskd.model.wire import FunctionLogLineView, function_log_line_view
from taskd.rql.query import Query
from taskd.rql.time_bounds import time_window
from taskd.store.base import TaskStore

_WINDOW_MAX_MS = limits.FUNCTION_LOG_WINDOW_MAX_S * 1000


class FunctionLogHandlers:
    """Answers for the logs of one function."""

    def __init__(self, store: TaskStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def routes(self) -> Iterator[Route]:
        """The routes under the base path."""
        yield Route(
            *("GET", "/functions/{name}/logs", self.listing, Permission.VIEW_TASK_FUNCTION_LOGS),
            tag="Functions",
            summary="Read a function's log",
            response=LogPage[FunctionLogLineView],
            takes_query=True,
            errors=(errors.RESOURCE_UNKNOWN, errors.ILLEGAL_ARGUMENT),
        )

    async def listing(self, request: web.Request) -> web.StreamResponse:
        """A page of the lines that the function's tasks printed within a window of time, oldest first."""
        name, query = request.match_info["name"], query_of(request)
        since_ms, until_ms = _window(query, self._clock())
        if self._store.function(name) is None:
            raise ContractError(errors.RESOURCE_UNKNOWN, f"There is no function {name}.")
        lines = await self._store.find_function_logs(
            *(name, since_ms, until_ms, query.offset, query.limit), on_behalf_of=caller_of(request).key
        )
        return json_response(log_page(query, lines, [function_log_line_view(line) for line in lines]))


def _window(query: Query, now_ms: int) -> tuple[int, int]:
    """From when to when, in epoch milliseconds; a side that the query leaves open is as far off as it may be."""
    since_ms, until_ms = time_window(query, "eventTimestamp")
    if until_ms is None:
        until_ms = now_ms if since_ms is None else since_ms + _WINDOW_MAX_MS
    if since_ms is None:
        since_ms = until_ms - _WINDOW_MAX_MS
    if until_ms - since_ms > _WINDOW_MAX_MS:
        hours = limits.FUNCTION_LOG_WINDOW_MAX_S // 3600
        message = f"The window from eventTimestamp>=… to eventTimestamp<=… may be {hours} hours wide at most."
        raise ContractError(errors.ILLEGAL_ARGUMENT, message)
    return since_ms, until_ms
