"""Slows down guessing: failed logins are counted by account and by address, in memory that cannot grow."""

import ipaddress
import math
from collections import OrderedDict

from msgspec import Struct

from taskd.model import errors
from taskd.model.clock import Clock
from taskd.model.errors import ContractError

_KEYS_MAX = 20_000


class Allowance(Struct, frozen=True):
    """So many failures at once, and one more every ``refill_ms``."""

    burst: int
    refill_ms: int


PER_ACCOUNT = Allowance(burst=5, refill_ms=30_000)
PER_ADDRESS = Allowance(burst=50, refill_ms=3_000)


class Attempts:
    """Counts attempts by key; the keys that were seen longest ago are forgotten first."""

    def __init__(self, allowance: Allowance, clock: Clock, keys_max: int = _KEYS_MAX) -> None:
        self._allowance = allowance
        self._clock = clock
        self._keys_max = keys_max
        self._paid_off_ms: OrderedDict[str, int] = OrderedDict()
        """When each key will have its whole allowance back."""

    def __len__(self) -> int:
        return len(self._paid_off_ms)

    def wait_ms(self, key: str) -> int:
        """How long until ``key`` may attempt again; 0 means now."""
        now_ms = self._clock()
        span_ms = (self._allowance.burst - 1) * self._allowance.refill_ms
        return max(0, self._paid_off_ms.get(key, now_ms) - span_ms - now_ms)

    def take(self, key: str) -> None:
        """Counts an attempt of ``key``."""
        paid_off_ms = max(self._paid_off_ms.pop(key, 0), self._clock())
        self._paid_off_ms[key] = paid_off_ms + self._allowance.refill_ms
        if len(self._paid_off_ms) > self._keys_max:
            self._paid_off_ms.popitem(last=False)

    def give_back(self, key: str) -> None:
        """Uncounts an attempt of ``key``: it was no guess."""
        if key in self._paid_off_ms:
            self._paid_off_ms[key] -= self._allowance.refill_ms


class LoginThrottle:
    """Counts each login attempt from its beginning, so that many at once are no way around."""

    def __init__(self, clock: Clock) -> None:
        self._accounts = Attempts(PER_ACCOUNT, clock)
        self._addresses = Attempts(PER_ADDRESS, clock)

    def enter(self, account: str, address: str) -> None:
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
        self._accounts.give_back(account)
        self._addresses.give_back(_network(address))


def _network(address: str) -> str:
    """What one guesser has at hand: an IPv4 address, or the /64 network of an IPv6 one."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if ip.version == 4 or ip.ipv4_mapped:
        return address
    return str(ipaddress.ip_network((int(ip), 64), strict=False))
