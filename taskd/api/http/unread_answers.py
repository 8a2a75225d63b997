"""Long answers that wait for their clients to read them: no more bytes of them than may be held, and nobody refused.

Over the limit, the caller whose answers hold most loses the one that has waited longest: its connection is ended, so
that the client sees that it is not whole. What a client never reads is ended anyway, see
:mod:`taskd.api.http.reading_watch`.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from taskd.api.http.authorization import CALLER
from taskd.api.http.client_address import ClientAddresses
from taskd.api.http.cross_origin import allow_origin
from taskd.api.http.reading_watch import drop

LONG_BYTES = 64 * 1024
"""Shorter answers are not counted: a connection holds so much at the most of those that it was sent."""


class _Answer:
    """One answer on its way to its client."""

    def __init__(self, owner: str, request: web.Request, size_bytes: int) -> None:
        self.owner = owner
        self.size_bytes = size_bytes
        self.transport = request.transport


class UnreadAnswers:
    """Counts the bytes that answers hold, by caller, or by address where callers are not told apart."""

    def __init__(self, max_bytes: int, addresses: ClientAddresses) -> None:
        self._max_bytes = max_bytes
        self._addresses = addresses
        self._by_owner: dict[str, dict[_Answer, None]] = {}
        """Without empty ones; those of an owner in the order in which they began."""
        self._bytes_by_owner: dict[str, int] = {}
        self.bytes = 0

    async def send(self, request: web.Request, response: web.StreamResponse, size_bytes: int) -> web.StreamResponse:
        """``response``, counted until the client has read all but the end of it, or is gone."""
        with self.holding(request, size_bytes):
            try:
                allow_origin(request, response)
                await response.prepare(request)
                await response.write_eof()
            except ConnectionError:
                response.force_close()
        return response

    @contextmanager
    def holding(self, request: web.Request, size_bytes: int) -> Iterator[None]:
        """Counts ``size_bytes`` for as long as the block sends the answer to ``request``."""
        answer = _Answer(self._owner(request), request, size_bytes)
        self._add(answer)
        try:
            yield
        finally:
            self._remove(answer)

    def _add(self, answer: _Answer) -> None:
        self._by_owner.setdefault(answer.owner, {})[answer] = None
        self._bytes_by_owner[answer.owner] = self._bytes_by_owner.get(answer.owner, 0) + answer.size_bytes
        self.bytes += answer.size_bytes
        while self.bytes > self._max_bytes and len(self._by_owner.get(answer.owner, ())) + len(self._by_owner) > 2:
            self._displace(max(self._bytes_by_owner, key=self._bytes_by_owner.__getitem__))

    def _displace(self, owner: str) -> None:
        oldest = next(iter(self._by_owner[owner]))
        self._remove(oldest)
        if oldest.transport is not None:
            drop(oldest.transport)

    def _remove(self, answer: _Answer) -> None:
        """Counts it no longer; nothing happens if it does not count."""
        answers = self._by_owner.get(answer.owner, {})
        if answer not in answers:
            return
        del answers[answer]
        self.bytes -= answer.size_bytes
        self._bytes_by_owner[answer.owner] -= answer.size_bytes
        if not answers:
            del self._by_owner[answer.owner], self._bytes_by_owner[answer.owner]

    def _owner(self, request: web.Request) -> str:
        caller = request.get(CALLER)
        return (caller.key if caller is not None else None) or self._addresses.of(request)
