"""Pages of what the store found: of records, trimmed to what was selected, and of the log lines of one record."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar

import msgspec
import orjson
from aiohttp import web
from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from msgspec.structs import replace

from taskd.api.http.json_response import JsonResponse, json_response
from taskd.api.http.long_page import (
    PART_BYTES,
    LongData,
    Piece,
    data_parts,
    memory_bytes,
    placeholder,
    send_pieces,
    total_bytes,
    with_long_data,
)
from taskd.api.http.notices import NO_NOTICE, scan_notice
from taskd.api.http.request_parts import object_id, query_of
from taskd.api.http.unread_answers import UnreadAnswers
from taskd.model import limits
from taskd.model.errors import ContractError, ErrorKind
from taskd.model.logline import LogLine
from taskd.model.timestamps import MIN_MS
from taskd.model.wire import log_line_view
from taskd.rql.mongo_filter import filter_json
from taskd.rql.query import Path, Query
from taskd.rql.select import project
from taskd.rql.time_bounds import single_lower_bound
from taskd.store.base import Page, TaskStore

T = TypeVar("T", bound=Struct)

_LONG_DATA_BYTES = 64 * 1024
_encode = msgspec.json.Encoder().encode
_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode


class PageInfo(Struct):
    """Where a page stands in its listing; ``total`` is left out where it was not counted."""

    offset: int
    limit: Annotated[int, Meta(description="Less than asked for where records are large; offset + limit is next.")]
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


def long_data_from_bytes(query: Query) -> int:
    """How long a task's data must be to be read only while the page is sent, so that the page takes little memory."""
    return min(_LONG_DATA_BYTES, limits.PAGE_DATA_IN_MEMORY_MAX_BYTES // max(1, query.limit))


class Pages:
    """Makes pages of records. One that gets too long has fewer records than were asked for, and its limit says so."""

    def __init__(self, store: TaskStore, page_max_bytes: int, unread: UnreadAnswers) -> None:
        self._store = store
        self._page_max_bytes = page_max_bytes
        self._unread = unread
        self._parsing = asyncio.Lock()

    async def response(
        self, request: web.Request, query: Query, found: Page[T], view: Callable[[T], Struct]
    ) -> web.StreamResponse:
        """The page that ``query`` found, each record as ``view`` shows it."""
        headers = scan_notice(query, found.total) if found.scanned else NO_NOTICE
        if not found.apart:
            rows = [_selected(view(record), query.select) for record in found.rows]
            whole = json_response(_page(query, found, len(rows), rows))
            whole.headers.update(headers)
            if whole.size_bytes <= min(self._page_max_bytes, limits.PAGE_IN_MEMORY_MAX_BYTES):
                return whole
        pieces = await self._pieces(query, found, view)
        size_bytes = memory_bytes(pieces)
        if size_bytes == total_bytes(pieces):
            whole = JsonResponse(b"".join(piece for piece in pieces if isinstance(piece, bytes)))
            whole.headers.update(headers)
            return whole
        with self._unread.holding(request, size_bytes + PART_BYTES):
            return await send_pieces(request, self._store, pieces, headers)

    async def _pieces(self, query: Query, found: Page[T], view: Callable[[T], Struct]) -> list[Piece]:
        """The page in pieces: as many records as it may have, and one at least."""
        records: list[list[Piece]] = []
        in_memory = in_all = 0
        for place in range(len(found.rows)):
            record = await self._record(query, found, place, view)
            in_memory += memory_bytes(record)
            in_all += total_bytes(record)
            if records and (in_memory > limits.PAGE_IN_MEMORY_MAX_BYTES or in_all > self._page_max_bytes):
                break
            records.append(record)
        empty = _encode(_page(query, found, len(records), []))
        return [empty[:-2], *_separated(records), empty[-2:]]

    async def _record(self, query: Query, found: Page[T], place: int, view: Callable[[T], Struct]) -> list[Piece]:
        record, size_bytes = found.rows[place], found.apart.get(place)
        if size_bytes is None:
            return [_encode(_selected(view(record), query.select))]
        data = LongData(record.id, size_bytes)  # type: ignore[attr-defined]  # only tasks have data apart
        if any(path[0] == "data" and len(path) > 1 for path in query.select):
            async with self._parsing:  # what is looked into must be read as a whole, but one at a time
                text = b"".join([part async for part in data_parts(self._store, data)])
                return [_encode(_selected(view(replace(record, data=text)), query.select))]
        return with_long_data(_encode(_selected(view(replace(record, data=placeholder())), query.select)), data)


def _page(query: Query, found: Page[Any], count: int, rows: list[Any]) -> RecordPage[Any]:
    """The page with ``rows``; ``count`` of those that were found are on it."""
    limit = query.limit if count == len(found.rows) else count
    info = PageInfo(offset=query.offset, limit=limit, total=UNSET if found.total is None else found.total)
    return RecordPage(query=filter_json(query), page=info, data=rows)


def _separated(records: Sequence[list[Piece]]) -> list[Piece]:
    pieces: list[Piece] = []
    for record in records:
        if pieces:
            pieces.append(b",")
        pieces += record
    return pieces


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
    return json_response(log_page(query, lines, [log_line_view(line) for line in lines]))


def log_page(query: Query, lines: Sequence[LogLine], rows: list[T]) -> LogPage[T]:
    """The page of ``lines``, shown as ``rows``. Where the length of the lines ended it, its limit says how many."""
    is_cut = sum(len(line.message.encode()) for line in lines) >= limits.LOG_PAGE_MAX_BYTES
    return LogPage(PageInfo(offset=query.offset, limit=len(rows) if is_cut else query.limit), rows)


async def _require_any(store: TaskStore, record_id: str, no_lines: ErrorKind) -> None:
    """An empty page of a log is a page; a record without any lines is an error."""
    first: list[LogLine] = await store.find_logs(record_id, MIN_MS, 0, 1)
    if not first:
        raise ContractError(no_lines, f"{record_id} left no log lines.")
