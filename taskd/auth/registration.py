"""Whether somebody may register, who by the vendor's rules shows no credentials.

Where credentials are asked for, they are those of an earlier request: whoever may make roles and give them to users has
just looked an address up and not found it. Then that address is open, once and for a moment. A second attempt in that
moment means that somebody else is trying, too, and nobody can tell who of them was meant: then neither counts.
"""

import logging
import math
from collections import OrderedDict

from msgspec import Struct

from taskd.auth.login_throttle import RateLimit, RateLimiter, network_of
from taskd.auth.settings import Registration
from taskd.model import errors
from taskd.model.clock import Clock
from taskd.model.errors import ContractError
from taskd.model.limits import EMAIL_LOOKUPS_MAX

log = logging.getLogger(__name__)

OPEN_MS = 10_000
"""How long an address is open after it was looked up."""
_PER_NETWORK = RateLimit(burst=10, interval_ms=10_000)
"""Registrations that are open to everybody: hashing a password takes a good part of a second of a core."""


class Opened(Struct):
    """An address that may be registered until ``until_ms``, since ``by`` has looked it up."""

    until_ms: int
    by: str
    user_id: str = ""
    """Of the user that is being made, or has been; empty as long as nobody has tried."""
    is_void: bool = False
    """Whether there was a second attempt."""


class Registrations:
    """The addresses that are open, in the order in which they close."""

    def __init__(self, mode: Registration, clock: Clock) -> None:
        self._mode = mode
        self._clock = clock
        self._opened: OrderedDict[str, Opened] = OrderedDict()
        self._networks = RateLimiter(_PER_NETWORK, clock)

    def looked_up(self, email: str, by: str) -> None:
        """``by`` may make users, and has just found that there is none with this address."""
        if self._mode != "credentials":
            return
        self._forget_closed()
        former = self._opened.pop(email, None)
        is_being_made = former is not None and former.user_id and not former.is_void
        now = Opened(self._clock() + OPEN_MS, by)
        self._opened[email] = former if is_being_made and former is not None else now
        if len(self._opened) > EMAIL_LOOKUPS_MAX:
            self._opened.popitem(last=False)

    def attempt(self, email: str, user_id: str, address: str) -> Opened:
        """Somebody at ``address`` registers ``email``, as the user with this id. Where ``user_id`` of what is given is
        another one, this is the second attempt: that user must not stay.

        :raises ContractError: ``NO_PERMISSION`` if they may not; ``TOO_MANY_REQUESTS``.
        """
        if self._mode == "open":
            self._take_turn(network_of(address))
            return Opened(0, "", user_id)
        self._forget_closed()
        opened = self._opened.get(email) if self._mode == "credentials" else None
        if opened is None or opened.is_void or opened.until_ms <= self._clock():
            raise self.refusal()
        if opened.user_id:
            log.warning("registration_void address=%s: two have tried to register the same user at once.", address)
            opened.is_void = True
        else:
            opened.user_id = user_id
        return opened

    def refusal(self) -> ContractError:
        """Why nobody may register now."""
        if self._mode == "off":
            message = "Registration is switched off; `taskd auth user add` adds users."
        else:
            message = (
                "This address may be registered only within 10 s after somebody who holds VIEW_USER, CREATE_ROLE and "
                "ADD_ROLE_TO_USER has looked it up, and once. `taskd auth user add` adds users, too."
            )
        return ContractError(errors.NO_PERMISSION, message)

    def _take_turn(self, network: str) -> None:
        wait_s = math.ceil(self._networks.wait_ms(network) / 1000)
        if wait_s:
            message = f"Too many users are registered from here; try again in {wait_s} s."
            raise ContractError(errors.TOO_MANY_REQUESTS, message, retryAfter=wait_s)
        self._networks.take(network)

    def _forget_closed(self) -> None:
        now_ms = self._clock()
        while self._opened and next(iter(self._opened.values())).until_ms <= now_ms:
            self._opened.popitem(last=False)
