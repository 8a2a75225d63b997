"""Pages of a listing, from what the store found: trimmed to what was selected, in the contract's shape."""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import orjson
from aiohttp import web
from msgspec import UNSET, Raw, Struct

from taskd.api.http.answers import Page, PageInfo, json_answer
from taskd.rql.mongo_filter import filter_json
from taskd.rql.query import Path, Query
from taskd.rql.select import project
from taskd.store import base

T = TypeVar("T")

_encode = msgspec.json.Encoder().encode
_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode


def page_answer(query: Query, found: base.Page[T], view: Callable[[T], Struct]) -> web.StreamResponse:
    """The page that ``query`` found, each record as ``view`` shows it."""
    total = UNSET if found.total is None else found.total
    info = PageInfo(offset=query.offset, limit=query.limit, total=total)
    rows = [_selected(view(record), query.select) for record in found.rows]
    return json_answer(Page(query=filter_json(query), page=info, data=rows))


def _selected(record: Struct, select: tuple[Path, ...]) -> Struct | dict[str, Any]:
    """What is selected of ``record``. Only fields that are looked into are parsed; all else stays as it is."""
    if not select:
        return record
    looked_into = {path[0] for path in select if len(path) > 1}
    fields = _decode_fields(_encode(record))
    parsed = {name: orjson.loads(memoryview(raw)) if name in looked_into else raw for name, raw in fields.items()}
    return project(parsed, select)
