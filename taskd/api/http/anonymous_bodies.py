"""Bodies that are still on their way from callers who have not shown who they are.

They have a share of what may be in progress, and a shorter time than others. Over the share, the address with most of
them loses its oldest: what has waited longest for its rest is the least likely to come, and no address can take the
places of another. A body that comes together with its head never waits, so it never loses its place.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from aiohttp import web

from taskd.api.http.client_address import ClientAddresses
from taskd.auth.login_throttle import network_of
from taskd.model import errors
from taskd.model.errors import ContractError

BODY_TIME_LIMIT_S = 10.0
"""How long such a body may take, whatever its size."""
BODY_BYTES_PER_S = 128 * 1024
"""How fast it must come beyond that: as fast as a body of 16 MiB of a known caller."""


class Places(Protocol):
    """What counts the requests in progress and the bytes of their bodies."""

    def body_bytes(self, request: web.BaseRequest) -> int:
        """What the body of a request counts for."""

    def leave(self, size_bytes: int) -> None:
        """A request with such a body counts no longer."""

    def enter_again(self, size_bytes: int) -> None:
        """One that had left counts again, whatever there is already."""


class _Arrival:
    """One body on its way."""

    def __init__(self, address: str, size_bytes: int, deadline: asyncio.Timeout) -> None:
        self.address = address
        self.size_bytes = size_bytes
        self.deadline = deadline
        self.has_lost_its_place = False


class AnonymousBodies:
    """Counts the bodies on their way, by address."""

    def __init__(self, places: Places, addresses: ClientAddresses, requests_max: int, bytes_max: int) -> None:
        self._places = places
        self._addresses = addresses
        self._requests_max = requests_max
        self._bytes_max = bytes_max
        self._by_address: dict[str, dict[_Arrival, None]] = {}
        """Without empty ones; those of an address in the order in which they came."""
        self.requests = 0
        self.bytes = 0

    @asynccontextmanager
    async def arriving(self, request: web.Request, limit_bytes: int) -> AsyncIterator[None]:
        """Counts the body in for as long as the block waits for it, which may have up to ``limit_bytes``.

        :raises ContractError: ``BODY_FORMAT`` once its time is over, ``TOO_MANY_REQUESTS`` once it has lost its place.
        """
        size_bytes = request.content_length or limit_bytes
        time_limit_s = BODY_TIME_LIMIT_S + min(size_bytes, limit_bytes) / BODY_BYTES_PER_S
        deadline = asyncio.timeout(time_limit_s)
        arrival = _Arrival(network_of(self._addresses.of(request)), self._places.body_bytes(request), deadline)
        try:
            async with deadline:
                self._enter(arrival)
                try:
                    yield
                finally:
                    self._end(arrival)
        except TimeoutError:
            raise _refusal(arrival, time_limit_s) from None

    def _enter(self, arrival: _Arrival) -> None:
        self._by_address.setdefault(arrival.address, {})[arrival] = None
        self.requests += 1
        self.bytes += arrival.size_bytes
        while self.requests > 1 and (self.requests > self._requests_max or self.bytes > self._bytes_max):
            crowd = max(self._by_address.values(), key=len)
            self._displace(next(iter(crowd)))

    def _displace(self, arrival: _Arrival) -> None:
        """What it held is free at once, though it will be told a moment later."""
        self._remove(arrival)
        arrival.has_lost_its_place = True
        self._places.leave(arrival.size_bytes)
        if not arrival.deadline.expired():
            arrival.deadline.reschedule(0)

    def _end(self, arrival: _Arrival) -> None:
        if arrival.has_lost_its_place:
            self._places.enter_again(arrival.size_bytes)  # whoever admitted it counts it out, like all
        else:
            self._remove(arrival)

    def _remove(self, arrival: _Arrival) -> None:
        crowd = self._by_address[arrival.address]
        del crowd[arrival]
        if not crowd:
            del self._by_address[arrival.address]
        self.requests -= 1
        self.bytes -= arrival.size_bytes


ANONYMOUS_BODIES = web.RequestKey("anonymous_bodies", AnonymousBodies)
"""On requests of callers who have not shown who they are, and on no others."""


def _refusal(arrival: _Arrival, time_limit_s: float) -> ContractError:
    if arrival.has_lost_its_place:
        message = "Too many requests without credentials wait for their bodies. Send head and body together."
        return ContractError(errors.TOO_MANY_REQUESTS, message)
    return ContractError(errors.BODY_FORMAT, f"The body did not arrive within {time_limit_s:.0f} seconds.")
