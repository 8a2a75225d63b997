"""JSON as a response: its text is there already, and leaves in one piece with the head."""

from functools import lru_cache
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import HttpVersion, HttpVersion10, hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import SERVER_SOFTWARE

_encoder = msgspec.json.Encoder()
_REASONS = {status.value: status.phrase for status in HTTPStatus}


class JsonResponse(web.StreamResponse):
    """JSON text as a response, which takes a creation some 5 µs less than a ``web.Response``.

    Values of headers that are added must be known to be harmless: they are sent as they are.
    """

    def __init__(self, text: bytes, status: int = 200) -> None:
        super().__init__(status=status)
        self._text = text
        self._message = b""

    @property
    def size_bytes(self) -> int:
        """How long the text is."""
        return len(self._text)

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        """Makes what is sent: for ``HEAD``, the head alone."""
        if self._payload_writer is not None:
            return self._payload_writer
        if self._keep_alive is None:
            self._keep_alive = request.keep_alive
        head = self._encode_head(request).encode()
        self._message = head if request.method == hdrs.METH_HEAD else head + self._text
        self._payload_writer = request.writer
        return request.writer

    async def write_eof(self, data: bytes = b"") -> None:
        """Sends it all."""
        assert not data, "the text is known from the beginning"
        if not self._eof_sent:
            assert self._payload_writer is not None, "the response is prepared"
            self._eof_sent = True
            # not write(), which waits for the client only after 64 KiB: those who send many requests would get all of
            # their answers into memory without ever reading one
            await self._payload_writer.write_eof(self._message)

    def _encode_head(self, request: web.BaseRequest) -> str:
        opening = _opening(request.version, self.status, bool(self._keep_alive), rfc822_formatted_time())
        more = "".join([f"{name}: {value}\r\n" for name, value in self.headers.items()]) if self.headers else ""
        return f"{opening}{more}Content-Length: {len(self._text)}\r\n\r\n"


def json_response(value: Any, status: int = 200) -> JsonResponse:
    """``value`` as JSON."""
    return JsonResponse(_encoder.encode(value), status)


@lru_cache(maxsize=64)  # the responses of one second are alike
def _opening(version: HttpVersion, status: int, keep_alive: bool, date: str) -> str:  # noqa: FBT001  it is a key
    is_old = version == HttpVersion10
    connection = "" if keep_alive != is_old else f"Connection: {'keep-alive' if keep_alive else 'close'}\r\n"
    return (
        f"HTTP/{version.major}.{version.minor} {status} {_REASONS[status]}\r\n"
        f"Content-Type: application/json\r\nDate: {date}\r\nServer: {SERVER_SOFTWARE}\r\n{connection}"
    )
