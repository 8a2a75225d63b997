"""Pages of what the store found: of records, trimmed to what was selected, and of the log lines of one record."""

from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

import msgspec
import orjson
from aiohttp import web
from msgspec import UNSET, Raw, Struct, UnsetType

from taskd.api.http.json_response import json_response
from taskd.api.http.request_parts import object_id, query_of
from taskd.model.errors import ContractError, ErrorKind
from taskd.model.logline import LogLine
from taskd.model.timestamps import MIN_MS
from taskd.model.wire import log_line_view
from taskd.rql.mongo_filter import filter_json
from taskd.rql.query import Path, Query
from taskd.rql.select import project
from taskd.rql.time_bounds import single_lower_bound
from taskd.store.base import Page, TaskStore

T = TypeVar("T")

_encode = msgspec.json.Encoder().encode
_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode


class PageInfo(Struct):
    """Where a page stands in its listing; ``total`` is left out where it was not counted."""

    offset: int
    limit: int
    total: int | UnsetType = UNSET


class RecordPage(Struct, Generic[T]):
    """One page of a listing; ``query`` is the filter in force, as JSON text."""

    query: str
    page: PageInfo
    data: list[T]


class LogPage(Struct, Generic[T]):
    """One page of log lines: these are never counted."""

    page: PageInfo
    data: list[T]


def page_response(query: Query, found: Page[T], view: Callable[[T], Struct]) -> web.StreamResponse:
    """The page that ``query`` found, each record as ``view`` shows it."""
    total = UNSET if found.total is None else found.total
    info = PageInfo(offset=query.offset, limit=query.limit, total=total)
    rows = [_selected(view(record), query.select) for record in found.rows]
    return json_response(RecordPage(query=filter_json(query), page=info, data=rows))


def _selected(record: Struct, select: tuple[Path, ...]) -> Struct | dict[str, Any]:
    """What is selected of ``record``. Only fields that are looked into are parsed; all else stays as it is."""
    if not select:
        return record
    looked_into = {path[0] for path in select if len(path) > 1}
    fields = _decode_fields(_encode(record))
    parsed = {name: orjson.loads(memoryview(raw)) if name in looked_into else raw for name, raw in fields.items()}
    return project(parsed, select)


async def log_page_response(
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
    return json_response(LogPage(page=page, data=[log_line_view(line) for line in lines]))


async def _require_any(store: TaskStore, record_id: str, no_lines: ErrorKind) -> None:
    """An empty page of a log is a page; a record without any lines is an error."""
    first: list[LogLine] = await store.find_logs(record_id, MIN_MS, 0, 1)
    if not first:
        raise ContractError(no_lines, f"{record_id} left no log lines.")
