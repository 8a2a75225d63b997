"""Request bodies on their way in: received within a limit, within a time, and decompressed.

Knows bytes, not what they mean. Decompression is done here and not by the HTTP server, so that a compressed body
is held to the same limit as any other, and a damaged one gets a response that says so.
"""

import asyncio
import zlib

from aiohttp import StreamReader, web

from taskd.api.http.anonymous_bodies import ANONYMOUS_BODIES
from taskd.model import errors
from taskd.model.errors import ContractError

BODY_TIME_LIMIT_S = 120.0
"""How long a client may take to send its body: 16 MiB at little more than 1 Mbit/s."""

_GZIP_WBITS = 31


async def read_body(request: web.Request, limit_bytes: int) -> bytes:
    """The decompressed body of ``request``.

    :raises ContractError: ``EMPTY_BODY``, or as :func:`read_optional_body` does.
    """
    body = _decompressed(request, await receive_body(request, limit_bytes), limit_bytes)
    if not body:
        raise ContractError(errors.EMPTY_BODY, "The request has no body; send a JSON object.")
    return body


async def read_optional_body(request: web.Request, limit_bytes: int) -> bytes:
    """The decompressed body of ``request``; nothing if there is none, or only white space.

    :raises ContractError: ``BODY_TOO_LARGE`` past ``limit_bytes``, compressed or not; ``BODY_FORMAT`` if it cannot
        be decompressed or did not arrive whole.
    """
    return _decompressed(request, await receive_body(request, limit_bytes), limit_bytes)


async def receive_body(request: web.Request, limit_bytes: int) -> bytes:
    """The body of ``request`` as it was sent, compressed or not.

    :raises ContractError: ``BODY_TOO_LARGE`` past ``limit_bytes``; ``BODY_FORMAT`` if it did not arrive whole.
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
    content, anonymous = request.content, request.get(ANONYMOUS_BODIES)
    if anonymous is not None:
        async with anonymous.arriving(request, limit_bytes):
            return await _read_to_end(content, limit_bytes)
    try:
        async with asyncio.timeout(BODY_TIME_LIMIT_S):
            return await _read_to_end(content, limit_bytes)
    except TimeoutError:
        message = f"The body did not arrive within {BODY_TIME_LIMIT_S:g} seconds."
        raise ContractError(errors.BODY_FORMAT, message) from None


async def _read_to_end(content: StreamReader, limit_bytes: int) -> bytes:
    """The body up to its end, or as soon as it is over the limit."""
    body = bytearray()
    while len(body) <= limit_bytes and (chunk := await content.readany()):
        body += chunk
    return bytes(body)


def _decompressed(request: web.Request, body: bytes, limit_bytes: int) -> bytes:
    encoding = request.headers.get("Content-Encoding")
    if encoding is not None:
        body = _decompress(body, encoding.strip().lower(), limit_bytes)
    return b"" if body.isspace() else body


def _decompress(body: bytes, encoding: str, limit_bytes: int) -> bytes:
    if encoding in {"gzip", "x-gzip"}:
        return _gunzip(body, limit_bytes)
    if encoding in {"identity", ""}:
        return body
    message = f"Content-Encoding {encoding!r} is not supported; send the body as gzip or plain."
    raise ContractError(errors.BODY_FORMAT, message)


def _gunzip(compressed: bytes, limit_bytes: int) -> bytes:
    decompressor = zlib.decompressobj(wbits=_GZIP_WBITS)
    try:
        body = decompressor.decompress(compressed, limit_bytes + 1)
    except zlib.error as error:
        raise ContractError(errors.BODY_FORMAT, f"The body is not valid gzip: {error}.") from None
    if len(body) > limit_bytes:
        raise _too_large(limit_bytes)
    if compressed and (not decompressor.eof or decompressor.unused_data):
        raise ContractError(errors.BODY_FORMAT, "The body is not one whole gzip stream.")
    return body


def _too_large(limit_bytes: int) -> ContractError:
    return ContractError(errors.BODY_TOO_LARGE, f"The body is over the limit of {limit_bytes} bytes.")
