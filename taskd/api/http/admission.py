"""Admission: what may be in progress at once, so that a flood is refused before memory or latency run away.

Probes (``/health``, ``/metrics``) are always let in: an overloaded service must still be able to say how it is.
"""

from aiohttp import web
from aiohttp.typedefs import Handler

from taskd.api.http.anonymous_bodies import AnonymousBodies
from taskd.api.http.body_room import BODY_ROOM, BodyRoom
from taskd.api.http.client_address import ClientAddresses
from taskd.api.http.error_response import response_for
from taskd.api.http.json_response import JsonResponse
from taskd.api.http.unread_answers import LONG_BYTES, UnreadAnswers
from taskd.api.settings import ServerSettings
from taskd.model import errors
from taskd.model.errors import ContractError

_PROBES = frozenset({"/health", "/metrics"})
_ANONYMOUS_REQUESTS_SHARE = 10
_ANONYMOUS_BYTES_SHARE = 4
"""One in how many requests, or bytes, bodies on their way may hold whose callers have not shown who they are."""


class Admission:
    """Counts the requests in progress and the bytes of their bodies."""

    def __init__(self, settings: ServerSettings) -> None:
        self._requests_max = settings.requests_max
        self._bodies_max_bytes = settings.bodies_max_bytes
        self._body_max_bytes = settings.body_max_bytes
        self.requests = 0
        self.bodies_bytes = 0
        addresses = ClientAddresses(settings.trusted_proxies)
        self.unread_answers = UnreadAnswers(settings.answers_max_bytes, addresses)
        self._rooms: dict[int, BodyRoom] = {}
        """By the identity of their requests: looked up only where there is one."""
        self.anonymous_bodies = AnonymousBodies(
            self,
            addresses,
            max(1, settings.requests_max // _ANONYMOUS_REQUESTS_SHARE),
            settings.bodies_max_bytes // _ANONYMOUS_BYTES_SHARE,
        )

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Counts ``request`` in for as long as it, or a long answer to it, lasts; what goes wrong becomes a response.

        When there is too much already (``TOO_MANY_REQUESTS``), nothing of the body has been read.
        """
        try:
            size_bytes = self._enter(request)
            try:
                response = await handler(request)
                answer_bytes = (
                    response.size_bytes if isinstance(response, JsonResponse) else response.content_length or 0
                )
                if answer_bytes > LONG_BYTES and not response.prepared:
                    return await self.unread_answers.send(request, response, answer_bytes)
                return response
            finally:
                self.leave(size_bytes)
                if self._rooms and (room := self._rooms.pop(id(request), None)) is not None:
                    self.bodies_bytes -= room.grown_bytes
        except Exception as error:  # the last resort, too: what is not foreseen is a fault of ours
            return response_for(request, error)

    def leave(self, size_bytes: int) -> None:
        """A request with a body of ``size_bytes`` counts no longer."""
        self.requests -= 1
        self.bodies_bytes -= size_bytes

    def enter_again(self, size_bytes: int) -> None:
        """A request that had left counts again, whatever there is already."""
        self.requests += 1
        self.bodies_bytes += size_bytes

    def grow(self, size_bytes: int, own_bytes: int) -> None:
        """A body that takes ``own_bytes`` takes ``size_bytes`` more; raises ``TOO_MANY_REQUESTS``."""
        others_bytes = self.bodies_bytes - own_bytes
        if others_bytes and self.bodies_bytes + size_bytes > self._bodies_max_bytes:
            raise _refusal(_near_limit(self.bodies_bytes))
        self.bodies_bytes += size_bytes

    def body_bytes(self, request: web.BaseRequest) -> int:
        """The memory that the body takes as it is sent; one that does not say is taken for the largest of a task."""
        if not request.can_read_body:
            return 0
        size_bytes = request.content_length
        return self._body_max_bytes if size_bytes is None else size_bytes

    def _enter(self, request: web.Request) -> int:
        """Counts ``request`` in; gives the bytes that its body counts for."""
        size_bytes = self.body_bytes(request)
        why = self._too_much(size_bytes)
        if why is not None and request.path not in _PROBES:
            raise _refusal(why)
        self.requests += 1
        self.bodies_bytes += size_bytes
        if size_bytes and (request.content_length is None or "Content-Encoding" in request.headers):
            request[BODY_ROOM] = self._rooms[id(request)] = BodyRoom(self, size_bytes)
        return size_bytes

    def _too_much(self, size_bytes: int) -> str | None:
        """What there is too much of for a request with a body of ``size_bytes``."""
        if self.requests >= self._requests_max:
            return f"{self.requests} requests are in progress, which is the limit"
        if self.bodies_bytes + size_bytes > self._bodies_max_bytes and self.bodies_bytes:
            return _near_limit(self.bodies_bytes)
        return None


def _near_limit(bodies_bytes: int) -> str:
    return f"the bodies of requests in progress take {bodies_bytes} bytes, which is near the limit"


def _refusal(why: str) -> ContractError:
    return ContractError(errors.TOO_MANY_REQUESTS, f"Too much at once: {why}. Try again in a moment.")
