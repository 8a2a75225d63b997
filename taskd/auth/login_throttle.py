"""Slows down guessing of passwords: failed logins are limited by account and by address, in bounded memory.

Counts are a node's own and need no store: n nodes allow n times as many guesses, and a restart one burst more, which is
still far too few to find a password.
"""

import ipaddress
import math
from collections import OrderedDict

from msgspec import Struct

from taskd.model import errors
from taskd.model.clock import Clock
from taskd.model.errors import ContractError

_KEYS_MAX = 20_000


class RateLimit(Struct, frozen=True):
    """``burst`` failures at once, and one more every ``interval_ms`` (the emission interval)."""

    burst: int
    interval_ms: int


PER_ACCOUNT = RateLimit(burst=5, interval_ms=30_000)
PER_ADDRESS = RateLimit(burst=50, interval_ms=3_000)


class RateLimiter:
    """Limits attempts by key; keys are evicted least recently used first.

    The generic cell rate algorithm in its virtual scheduling form (GCRA, ITU-T I.371): all that is kept of a key is its
    theoretical arrival time.
    """

    def __init__(self, limit: RateLimit, clock: Clock, keys_max: int = _KEYS_MAX) -> None:
        self._limit = limit
        self._clock = clock
        self._keys_max = keys_max
        self._theoretical_arrival_ms: OrderedDict[str, int] = OrderedDict()
        """When each key will have its whole burst back."""

    def __len__(self) -> int:
        return len(self._theoretical_arrival_ms)

    def wait_ms(self, key: str) -> int:
        """How long until ``key`` may attempt again; 0 means now."""
        now_ms = self._clock()
        span_ms = (self._limit.burst - 1) * self._limit.interval_ms
        return max(0, self._theoretical_arrival_ms.get(key, now_ms) - span_ms - now_ms)

    def take(self, key: str) -> None:
        """Counts an attempt of ``key``."""
        theoretical_arrival_ms = max(self._theoretical_arrival_ms.pop(key, 0), self._clock())
        self._theoretical_arrival_ms[key] = theoretical_arrival_ms + self._limit.interval_ms
        if len(self._theoretical_arrival_ms) > self._keys_max:
            self._theoretical_arrival_ms.popitem(last=False)

    def refund(self, key: str) -> None:
        """Takes back an attempt of ``key``: it was no guess."""
        if key in self._theoretical_arrival_ms:
            self._theoretical_arrival_ms[key] -= self._limit.interval_ms


class LoginThrottle:
    """Counts each login attempt from its beginning, so that many at once cannot evade the limit."""

    def __init__(self, clock: Clock) -> None:
        self._accounts = RateLimiter(PER_ACCOUNT, clock)
        self._addresses = RateLimiter(PER_ADDRESS, clock)

    def admit(self, account: str, address: str) -> None:
        """Counts an attempt.

        :raises ContractError: ``TOO_MANY_REQUESTS``, saying when to try again; the attempt does not count.
        """
        network = _network(address)
        wait_ms = max(self._accounts.wait_ms(account), self._addresses.wait_ms(network))
        if wait_ms:
            wait_s = math.ceil(wait_ms / 1000)
            message = f"Too many failed logins; try again in {wait_s} s."
            raise ContractError(errors.TOO_MANY_REQUESTS, message, retryAfter=wait_s)
        self._accounts.take(account)
        self._addresses.take(network)

    def succeeded(self, account: str, address: str) -> None:
        """The attempt was no guess."""
        self._accounts.refund(account)
        self._addresses.refund(_network(address))


def _network(address: str) -> str:
    """What one caller can choose from freely: an IPv4 address, or the /64 network of an IPv6 one."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if ip.version == 4 or ip.ipv4_mapped:
        return address
    return str(ipaddress.ip_network((int(ip), 64), strict=False))
