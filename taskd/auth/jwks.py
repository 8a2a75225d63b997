"""The public keys of an OIDC issuer (a JWKS, RFC 7517): fetched over HTTPS, cached, fetched anew when it rotates them.

The cache is a node's own: each node fetches what the issuer publishes.
"""

import asyncio
import logging
from typing import Any

import aiohttp
import orjson
from jwt import PyJWK, PyJWKSet, PyJWTError

from taskd.model import errors
from taskd.model.clock import Clock
from taskd.model.errors import ContractError

log = logging.getLogger(__name__)

_KEYS_TTL_MS = 300_000
"""How long a key that its issuer has withdrawn is taken at most, while the issuer can be reached."""
_REFETCH_INTERVAL_MS = 10_000
"""Between two fetches at least, so that made-up key ids do not make us flood the issuer with requests."""
_TIMEOUT_S = 10.0
_DOCUMENT_MAX_BYTES = 1024 * 1024
_NO_KEYS = (ValueError, KeyError, TypeError, AttributeError)
"""What a document raises that is not of the shape that it should have."""
_DISCOVERY = "/.well-known/openid-configuration"


class IssuerKeys:
    """The keys of ``issuer`` by their ids. ``jwks_url`` saves asking the issuer where they are."""

    def __init__(self, issuer: str, jwks_url: str | None, clock: Clock) -> None:
        self._issuer = issuer
        self._jwks_url = jwks_url
        self._clock = clock
        self._keys: dict[str, PyJWK] = {}
        self._fetched_ms: int | None = None
        self._tried_ms: int | None = None
        self._one_at_a_time = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None

    async def get(self, key_id: str) -> PyJWK | None:
        """The key ``key_id``; ``None`` if the issuer has none of that id.

        :raises ContractError: ``UNAVAILABLE`` while no keys could be fetched at all.
        """
        if key_id not in self._keys or self._must_renew_known():
            await self._renew(key_id)
        if self._fetched_ms is None:
            raise ContractError(errors.UNAVAILABLE, "The keys of the token issuer cannot be fetched now; try again.")
        return self._keys.get(key_id)

    async def close(self) -> None:
        """Ends connections to the issuer."""
        if self._session is not None:
            await self._session.close()

    def _must_renew_known(self) -> bool:
        """Whether the keys are old, and nobody is fetching them: a slow issuer holds up one caller, not all."""
        return self._is_older_than(self._fetched_ms, _KEYS_TTL_MS) and not self._one_at_a_time.locked()

    def _is_older_than(self, moment_ms: int | None, age_ms: int) -> bool:
        return moment_ms is None or self._clock() - moment_ms > age_ms

    async def _renew(self, key_id: str) -> None:
        """Fetches the keys, unless that was tried a moment ago. Old keys stay good while the issuer is silent."""
        async with self._one_at_a_time:
            fresh = key_id in self._keys and not self._is_older_than(self._fetched_ms, _KEYS_TTL_MS)
            if fresh or not self._is_older_than(self._tried_ms, _REFETCH_INTERVAL_MS):
                return
            self._tried_ms = self._clock()
            try:
                self._keys = _keys_of(await self._fetch(await self._resolve_jwks_url()))
                self._fetched_ms = self._clock()
            except (aiohttp.ClientError, TimeoutError, *_NO_KEYS, PyJWTError) as error:
                log.warning("The keys of %s cannot be fetched: %r.", self._issuer, error)

    async def _resolve_jwks_url(self) -> str:
        if self._jwks_url is None:
            self._jwks_url = str((await self._fetch(self._issuer.rstrip("/") + _DISCOVERY))["jwks_uri"])
        return self._jwks_url

    async def _fetch(self, url: str) -> Any:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S))
        async with self._session.get(url, raise_for_status=True) as response:
            content = await response.content.read(_DOCUMENT_MAX_BYTES + 1)
            while len(content) <= _DOCUMENT_MAX_BYTES and (more := await response.content.readany()):
                content += more
        if len(content) > _DOCUMENT_MAX_BYTES:
            raise ValueError(f"{url} answers with more than {_DOCUMENT_MAX_BYTES} bytes")
        return orjson.loads(content)


def _keys_of(document: Any) -> dict[str, PyJWK]:
    """The signing keys that can be used; others (for encryption, of unknown kinds) are left out."""
    usable = PyJWKSet.from_dict(document).keys
    return {key.key_id: key for key in usable if key.key_id and key.public_key_use in (None, "sig")}
