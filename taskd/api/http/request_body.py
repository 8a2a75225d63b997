"""Request bodies on their way in: received within a limit, within a time, and decompressed.

Knows bytes, not what they mean. Decompression is done here and not by the HTTP server, so that a compressed body
is held to the same limit as any other, and a damaged one gets a response that says so. What comes out is counted before
it comes: a gzip file ends with its own length, and is damaged if more follows.
"""

import asyncio
import zlib

from aiohttp import web

from taskd.api.http.anonymous_bodies import ANONYMOUS_BODIES
from taskd.api.http.body_room import BODY_ROOM
from taskd.model import errors
from taskd.model.errors import ContractError

BODY_TIME_LIMIT_S = 120.0
"""How long a client may take to send its body: 16 MiB at little more than 1 Mbit/s."""

_GZIP_WBITS = 31
_GZIP_LENGTH_BYTES = 4
"""At the end of a gzip file: how long it is unpacked, modulo 4 GiB."""
_AT_ONCE_BYTES = 64 * 1024
"""Unpacking so much takes less of the event loop than handing it to a thread."""


async def read_body(request: web.Request, limit_bytes: int) -> bytes:
    """The decompressed body of ``request``.

    :raises ContractError: ``EMPTY_BODY``, or as :func:`read_optional_body` does.
    """
    body = await read_optional_body(request, limit_bytes)
    if not body:
        raise ContractError(errors.EMPTY_BODY, "The request has no body; send a JSON object.")
    return body


async def read_optional_body(request: web.Request, limit_bytes: int) -> bytes:
    """The decompressed body of ``request``; nothing if there is none, or only white space.

    :raises ContractError: ``BODY_TOO_LARGE`` past ``limit_bytes``, compressed or not; ``BODY_FORMAT`` if it cannot
        be decompressed or did not arrive whole; ``TOO_MANY_REQUESTS`` if it is more than there is room for now.
    """
    body = await receive_body(request, limit_bytes)
    encoding = request.headers.get("Content-Encoding")
    if encoding is not None:
        body = await _decompress(request, body, encoding.strip().lower(), limit_bytes)
    return b"" if body.isspace() else body


async def receive_body(request: web.Request, limit_bytes: int) -> bytes:
    """The body of ``request`` as it was sent, compressed or not.

    :raises ContractError: ``BODY_TOO_LARGE`` past ``limit_bytes``; ``BODY_FORMAT`` if it did not arrive whole;
        ``TOO_MANY_REQUESTS`` if it is more than there is room for now.
    """
    content = request.content
    try:
        if content.is_eof():  # small bodies arrive together with the headers
            body = content.read_nowait()
        elif (request.content_length or 0) > limit_bytes:
            raise _too_large(limit_bytes)
        else:
            body = await _read_in_time(request, limit_bytes)
    except (ConnectionError, web.RequestPayloadError) as error:
        raise ContractError(errors.BODY_FORMAT, f"The body did not arrive whole: {error}.") from None
    if len(body) > limit_bytes:
        raise _too_large(limit_bytes)
    return body


async def _read_in_time(request: web.Request, limit_bytes: int) -> bytes:
    anonymous = request.get(ANONYMOUS_BODIES)
    if anonymous is not None:
        async with anonymous.arriving(request, limit_bytes):
            return await _read_to_end(request, limit_bytes)
    try:
        async with asyncio.timeout(BODY_TIME_LIMIT_S):
            return await _read_to_end(request, limit_bytes)
    except TimeoutError:
        message = f"The body did not arrive within {BODY_TIME_LIMIT_S:g} seconds."
        raise ContractError(errors.BODY_FORMAT, message) from None


async def _read_to_end(request: web.Request, limit_bytes: int) -> bytes:
    """The body up to its end, or as soon as it is over the limit."""
    content, room = request.content, request.get(BODY_ROOM)
    body = bytearray()
    while len(body) <= limit_bytes and (chunk := await content.readany()):
        if room is not None:
            room.require(len(body) + len(chunk))
        body += chunk
    return bytes(body)


async def _decompress(request: web.Request, body: bytes, encoding: str, limit_bytes: int) -> bytes:
    if encoding in {"gzip", "x-gzip"}:
        return await _gunzip(request, body, limit_bytes)
    if encoding in {"identity", ""}:
        return body
    message = f"Content-Encoding {encoding!r} is not supported; send the body as gzip or plain."
    raise ContractError(errors.BODY_FORMAT, message)


async def _gunzip(request: web.Request, packed: bytes, limit_bytes: int) -> bytes:
    """``packed`` unpacked: in a thread where that takes long, and only if there is room for what comes out."""
    most_bytes = min(int.from_bytes(packed[-_GZIP_LENGTH_BYTES:], "little"), limit_bytes)
    if (room := request.get(BODY_ROOM)) is not None:
        room.require(len(packed) + most_bytes)
    if max(most_bytes, len(packed)) <= _AT_ONCE_BYTES:
        return _unpacked(packed, most_bytes, limit_bytes)
    return await asyncio.to_thread(_unpacked, packed, most_bytes, limit_bytes)


def _unpacked(packed: bytes, most_bytes: int, limit_bytes: int) -> bytes:
    """What ``packed`` holds, if it says so itself and that is no more than ``most_bytes``."""
    decompressor = zlib.decompressobj(wbits=_GZIP_WBITS)
    try:
        body = decompressor.decompress(packed, most_bytes + 1)
    except zlib.error as error:
        raise ContractError(errors.BODY_FORMAT, f"The body is not valid gzip: {error}.") from None
    if len(body) > limit_bytes:
        raise _too_large(limit_bytes)
    if packed and (not decompressor.eof or decompressor.unused_data):
        raise ContractError(errors.BODY_FORMAT, "The body is not one whole gzip stream.")
    return body


def _too_large(limit_bytes: int) -> ContractError:
    return ContractError(errors.BODY_TOO_LARGE, f"The body is over the limit of {limit_bytes} bytes.")
