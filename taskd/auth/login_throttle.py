"""Slows down guessing of passwords: failed logins are limited in bounded memory.

Each address is limited, most of all for each account, so that nobody can lock another one out. What many addresses do
to one account together is limited too, but not for addresses that its user has logged in from.

Counts are a node's own and need no store: n nodes allow n times as many guesses, and a restart one burst more, which is
still far too few to find a password.
"""

import functools
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


PER_PAIR = RateLimit(burst=5, interval_ms=30_000)
"""For an account and an address."""
PER_ADDRESS = RateLimit(burst=50, interval_ms=3_000)
PER_ACCOUNT = RateLimit(burst=100, interval_ms=30_000)
"""Not below :data:`PER_PAIR` in its rate, so one address alone never reaches the burst."""


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
        self._pairs = RateLimiter(PER_PAIR, clock)
        self._addresses = RateLimiter(PER_ADDRESS, clock)
        self._accounts = RateLimiter(PER_ACCOUNT, clock)
        self._known: OrderedDict[str, None] = OrderedDict()
        """Pairs that have logged in, least recently first."""

    def admit(self, account: str, address: str) -> None:
        """Counts an attempt.

        :raises ContractError: ``TOO_MANY_REQUESTS``, saying when to try again; the attempt does not count.
        """
        limits = self._limits(account, address)
        wait_ms = max(limiter.wait_ms(key) for limiter, key in limits)
        if wait_ms:
            wait_s = math.ceil(wait_ms / 1000)
            message = f"Too many failed logins; try again in {wait_s} s."
            raise ContractError(errors.TOO_MANY_REQUESTS, message, retryAfter=wait_s)
        for limiter, key in limits:
            limiter.take(key)

    def succeeded(self, account: str, address: str) -> None:
        """The attempt was no guess."""
        for limiter, key in self._limits(account, address):
            limiter.refund(key)
        self._known[_pair(account, address)] = None
        self._known.move_to_end(_pair(account, address))
        if len(self._known) > _KEYS_MAX:
            self._known.popitem(last=False)

    def _limits(self, account: str, address: str) -> list[tuple[RateLimiter, str]]:
        pair = _pair(account, address)
        limits = [(self._pairs, pair), (self._addresses, network_of(address))]
        return limits if pair in self._known else [*limits, (self._accounts, account)]


def _pair(account: str, address: str) -> str:
    return f"{network_of(address)} {account}"


@functools.lru_cache(maxsize=4096)  # it is asked for with every request that is signed
def network_of(address: str) -> str:
    """What one caller can choose from freely: an IPv4 address, or the /64 network of an IPv6 one."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if ip.version == 4 or ip.ipv4_mapped:
        return address
    return str(ipaddress.ip_network((int(ip), 64), strict=False))
