"""One attempt to deliver: a POST to an address that is allowed, and what came of it.

Nothing of an answer is used but its status. So nothing of it is kept, redirects are not followed, and an answer that is
long, slow or compressed costs no more than a short one.
"""

import asyncio
import ssl
from contextlib import suppress

import aiohttp
from msgspec import Struct
from yarl import URL

from taskd import __version__
from taskd.model.limits import WEBHOOK_ANSWER_MAX_BYTES, WEBHOOK_TIME_LIMIT_S
from taskd.webhooks.addresses import AllowedAddresses
from taskd.webhooks.resolver import CheckedResolver, ForbiddenAddressError, Lookup, SystemLookup, checked_socket

_DRAIN_S = 1.0
"""How long the rest of an answer is waited for, so that its connection can be used again."""
_KEEP_ALIVE_S = 1.0
"""How long a connection that is not used is kept: less than servers do, which would end it under a request."""
_ERROR_MAX_CHARS = 200


class Answer(Struct, frozen=True):
    """What came of an attempt; ``error`` is ``None`` if it was taken."""

    status_code: int | None
    error: str | None


class Sender:
    """Sends to addresses that are ``allowed``. :meth:`start` and :meth:`close` bracket its life."""

    def __init__(
        self,
        allowed: AllowedAddresses,
        *,
        lookup: Lookup | None = None,
        tls: ssl.SSLContext | None = None,
        time_limit_s: float = WEBHOOK_TIME_LIMIT_S,
    ) -> None:
        """``lookup`` stands for the system's, ``tls`` for the certificates that the system trusts."""
        self._allowed = allowed
        self._lookup = lookup or SystemLookup()
        self._tls = tls
        self._time_limit_s = time_limit_s
        self._session: aiohttp.ClientSession | None = None

    def start(self) -> None:
        """Must run on the event loop that sends."""
        connector = aiohttp.TCPConnector(
            limit=0,  # whoever sends says how much at once
            resolver=CheckedResolver(self._allowed, self._lookup),
            use_dns_cache=False,
            socket_factory=checked_socket(self._allowed),
            keepalive_timeout=_KEEP_ALIVE_S,
            ssl=self._tls or True,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=self._time_limit_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            headers={"User-Agent": f"taskd/{__version__}", "Accept-Encoding": "identity"},
        )

    async def close(self) -> None:
        """Ends all connections. Idempotent."""
        if self._session is not None:
            await self._session.close()
        if isinstance(self._lookup, SystemLookup):
            self._lookup.close()

    async def send(self, url: str, headers: dict[str, str], body: bytes) -> Answer:
        """Posts ``body``, the JSON text of an object; never raises."""
        try:
            async with asyncio.timeout(self._time_limit_s):
                return await self._post(url, headers, body)
        except TimeoutError:
            return Answer(None, f"There was no answer within {self._time_limit_s:g} seconds.")
        except aiohttp.ClientConnectorError as error:
            return Answer(None, f"No connection could be made: {_shortened(_reason(error))}.")
        except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: what no HTTP parser takes
            return Answer(None, f"There was no usable answer: {_shortened(str(error) or type(error).__name__)}.")

    async def _post(self, url: str, headers: dict[str, str], body: bytes) -> Answer:
        assert self._session is not None, "start() comes first"
        response = await self._session.post(
            URL(url), data=body, headers={"Content-Type": "application/json", **headers}, allow_redirects=False
        )
        try:
            if not await _is_short(response):
                response.close()
        finally:
            response.release()
        if 200 <= response.status < 300:
            return Answer(response.status, None)
        return Answer(response.status, f"The answer had the status {response.status}.")


async def _is_short(response: aiohttp.ClientResponse) -> bool:
    """Whether all of the body has arrived soon."""
    if (response.content_length or 0) > WEBHOOK_ANSWER_MAX_BYTES:
        return False
    read_bytes = 0
    with suppress(TimeoutError, aiohttp.ClientError):
        async with asyncio.timeout(_DRAIN_S):
            while read_bytes <= WEBHOOK_ANSWER_MAX_BYTES:
                chunk = await response.content.readany()
                if not chunk:
                    return True
                read_bytes += len(chunk)
    return False


def _reason(error: aiohttp.ClientConnectorError) -> str:
    cause = error.os_error
    if isinstance(cause, ForbiddenAddressError):
        return str(cause)
    return cause.strerror or str(cause) or type(cause).__name__


def _shortened(text: str) -> str:
    """``text`` without what steers terminals: part of it may be the receiver's."""
    plain = "".join(char if char.isprintable() else " " for char in text)
    return plain if len(plain) <= _ERROR_MAX_CHARS else f"{plain[:_ERROR_MAX_CHARS]}…"
