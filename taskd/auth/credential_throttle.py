"""Slows down guessing of what programs prove themselves with: client secrets of OAuth 2, signatures of OAuth 1.

Passwords have :mod:`taskd.auth.login_throttle`. These secrets are long and random, so here it matters more that nobody
is locked out: whoever was right once, from the same place, is always heard. What is wrong gets into the log, but not
with each request of a program that goes on and on.
"""

import logging
import math
from collections import OrderedDict

from taskd.auth.login_throttle import RateLimit, RateLimiter
from taskd.model import errors
from taskd.model.clock import Clock
from taskd.model.errors import ContractError

log = logging.getLogger(__name__)

PER_PLACE = RateLimit(burst=20, interval_ms=3_000)
"""Wrong ones from one place."""
LOGGED = RateLimit(burst=5, interval_ms=60_000)
"""How many of them get into the log."""
_KNOWN_MAX = 20_000


class CredentialThrottle:
    """Counts wrong credentials by where they come from: a key that no more than one place has."""

    def __init__(self, clock: Clock) -> None:
        self._wrong = RateLimiter(PER_PLACE, clock)
        self._logged = RateLimiter(LOGGED, clock)
        self._known: OrderedDict[str, None] = OrderedDict()
        """Places that were right, least recently found first."""
        self._not_logged = 0

    def require(self, place: str) -> None:
        """Raises ``ContractError`` (``TOO_MANY_REQUESTS``) if nothing of this place is looked at now."""
        if len(self._wrong) and place not in self._known:
            self._refuse_if_too_many(place)

    def right(self, place: str) -> None:
        """What came from this place was right."""
        if place not in self._known:
            self._known[place] = None
            if len(self._known) > _KNOWN_MAX:
                self._known.popitem(last=False)

    def wrong(self, place: str, line: str) -> None:
        """What came from this place was wrong; ``line`` says so in the log and has nothing of what was sent.

        :raises ContractError: ``TOO_MANY_REQUESTS`` if it was one too many.
        """
        if self._logged.wait_ms(place):
            self._not_logged += 1
        else:
            self._logged.take(place)
            log.warning("%s%s", line, f" (and {self._not_logged} not logged)" if self._not_logged else "")
            self._not_logged = 0
        self._refuse_if_too_many(place)
        self._wrong.take(place)

    def _refuse_if_too_many(self, place: str) -> None:
        wait_s = math.ceil(self._wrong.wait_ms(place) / 1000)
        if wait_s:
            message = f"Too many wrong credentials came from here; try again in {wait_s} s."
            raise ContractError(errors.TOO_MANY_REQUESTS, message, retryAfter=wait_s)
