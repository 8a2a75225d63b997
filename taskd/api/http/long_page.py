"""A page whose records hold long data: it is sent piece by piece, and long data is read only when its turn has come."""

import logging
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence

from aiohttp import hdrs, web
from msgspec import Raw, Struct

from taskd.api.http.cross_origin import allow_origin
from taskd.api.http.reading_watch import drop
from taskd.model.errors import ContractError
from taskd.store.base import TaskStore

log = logging.getLogger(__name__)

PART_BYTES = 512 * 1024
"""Of long data that are in memory at a time, for one page."""
_JOINED_BYTES = 64 * 1024
"""Shorter pieces leave together."""

_MARK = b'"%b"' % secrets.token_hex(16).encode()
"""Stands where long data belongs. Whoever makes a task cannot know it."""


class LongData(Struct, frozen=True):
    """The data of a task that is read while it is sent."""

    task_id: str
    size_bytes: int


Piece = bytes | LongData


def placeholder() -> Raw:
    """What to encode in the place of long data."""
    return Raw(_MARK)


def with_long_data(record: bytes, data: LongData) -> list[Piece]:
    """``record``, with ``data`` in the place of the placeholder; the record itself if it has none."""
    before, mark, after = record.partition(_MARK)
    return [before, data, after] if mark else [record]


def total_bytes(pieces: Sequence[Piece]) -> int:
    """How long the pieces are when they are sent."""
    return sum(piece.size_bytes if isinstance(piece, LongData) else len(piece) for piece in pieces)


def memory_bytes(pieces: Sequence[Piece]) -> int:
    """How much of the pieces is in memory now."""
    return sum(len(piece) for piece in pieces if isinstance(piece, bytes))


async def send_pieces(
    request: web.Request, store: TaskStore, pieces: Sequence[Piece], headers: Mapping[str, str]
) -> web.StreamResponse:
    """Sends ``pieces`` as the answer to ``request``, with ``headers``, at the pace of its client.

    If not all of it can be sent the connection is ended, before as many bytes as the head says: a part of a page never
    looks like a whole one.
    """
    response = web.StreamResponse(headers=headers)
    response.content_type = "application/json"
    response.content_length = total_bytes(pieces)
    allow_origin(request, response)
    try:
        await response.prepare(request)
        if request.method != hdrs.METH_HEAD:
            async for part in _joined(store, pieces):
                await response.write(part)
        await response.write_eof()
    except ConnectionError:  # the client is gone
        response.force_close()
    except ContractError as error:
        log.warning("An answer to %s ended half-way: %s", request.path, error.message)
        _abort(request, response)
    except BaseException:
        _abort(request, response)
        raise
    return response


def _abort(request: web.Request, response: web.StreamResponse) -> None:
    response.force_close()
    if request.transport is not None:
        drop(request.transport)


async def _joined(store: TaskStore, pieces: Sequence[Piece]) -> AsyncIterator[bytes]:
    short = bytearray()
    for piece in pieces:
        if isinstance(piece, bytes):
            short += piece
        else:
            yield bytes(short)
            short.clear()
            async for part in data_parts(store, piece):
                yield part
        if len(short) >= _JOINED_BYTES:
            yield bytes(short)
            short.clear()
    yield bytes(short)


async def data_parts(store: TaskStore, data: LongData) -> AsyncIterator[bytes]:
    """The text of ``data``, part by part.

    :raises ContractError: what ``TaskStore.read_data`` raises.
    """
    begin = 0
    while begin < data.size_bytes:
        part = await store.read_data(data.task_id, begin, PART_BYTES)
        begin += len(part)
        yield part
