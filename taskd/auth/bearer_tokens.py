"""Bearer tokens of every kind, verified, and the callers that they stand for.

What was verified is cached until it expires, the accounts change or the issuer's keys are fetched anew, so that a known
token costs one look-up. The cache is a node's own: it never outlives the accounts and keys that this node has read.
"""

import math

from msgspec import Struct

from taskd.auth import tokens
from taskd.auth.account_directory import Directory
from taskd.auth.oidc import OidcVerifier, Subject
from taskd.auth.tokens import TokenKind
from taskd.model import errors
from taskd.model.caller import Caller
from taskd.model.clock import Clock
from taskd.model.errors import ContractError

_CACHED_MAX = 10_000
_JWT_DOTS = 2


class _Verified(Struct, frozen=True):
    caller: Caller
    expiry_ms: float
    subject: Subject | None = None


class BearerTokens:
    """Verifies bearer tokens."""

    def __init__(self, oidc: OidcVerifier | None, clock: Clock) -> None:
        self._oidc = oidc
        self._clock = clock
        self._cache: dict[str, _Verified] = {}
        self._directory: Directory
        self._key: bytes

    def use(self, directory: Directory, key: bytes) -> None:
        """From now on these accounts and this key are in force."""
        self._directory, self._key = directory, key
        self._cache.clear()

    async def caller(self, token: str) -> Caller:
        """Who calls with ``token``.

        :raises ContractError: ``ACCESS_TOKEN_UNKNOWN``, ``ACCESS_TOKEN_EXPIRED``; ``UNAVAILABLE`` if its issuer is.
        """
        return (await self._verified(token)).caller

    async def subject(self, token: str) -> Subject | None:
        """Whom the JWT ``token`` is about; ``None`` if it is a token of ours. Raises as :meth:`caller` does."""
        return (await self._verified(token)).subject

    async def _verified(self, token: str) -> _Verified:
        verified = await self._cached(token)
        if verified is not None:
            return verified
        directory = self._directory
        verified = await self._verify(token)
        if self._clock() >= verified.expiry_ms:
            raise ContractError(errors.ACCESS_TOKEN_EXPIRED, "The access token has expired; get a new one.")
        if directory is self._directory:  # else the accounts changed meanwhile
            self._store_in_cache(token, verified)
        return verified

    async def _cached(self, token: str) -> _Verified | None:
        verified = self._cache.get(token)
        if verified is None or self._clock() >= verified.expiry_ms:
            return None
        if verified.subject is None or self._oidc is None:
            return verified
        proved = await self._oidc.is_still_proved(verified.subject)
        return self._cache.get(token) if proved else None  # asked again: the accounts may have changed meanwhile

    def _store_in_cache(self, token: str, verified: _Verified) -> None:
        if len(self._cache) >= _CACHED_MAX:
            self._cache.clear()
        self._cache[token] = verified

    async def _verify(self, token: str) -> _Verified:
        if token.startswith(TokenKind.API):
            return self._verify_api_token(token)
        if token.startswith(TokenKind.ACCESS):
            return self._verify_access_token(token)
        if self._oidc is not None and token.count(".") == _JWT_DOTS:
            return self._verify_subject(await self._oidc.verify(token))
        raise _unknown()

    def _verify_api_token(self, token: str) -> _Verified:
        found = self._directory.token(tokens.fingerprint(token))
        if found is None:
            raise _unknown()
        return _Verified(self._directory.token_caller(found), found.expiry_ms or math.inf)

    def _verify_access_token(self, token: str) -> _Verified:
        claims = tokens.read(self._key, TokenKind.ACCESS, token)
        if claims is None:
            raise _unknown()
        application, user = self._directory.application(claims.application_id), self._directory.current_user(claims)
        if application is None or (claims.user_id and user is None):
            raise _unknown()
        return _Verified(self._directory.caller(user, application), claims.expiry_ms)

    def _verify_subject(self, subject: Subject) -> _Verified:
        """Names that the issuer has and we have not are no concern of ours."""
        permissions = self._directory.permissions(subject.grants, roles=subject.grants)
        caller = Caller(user_id=subject.id, permissions=permissions, is_authenticated=True)
        return _Verified(caller, subject.expiry_ms, subject)


def _unknown() -> ContractError:
    return ContractError(errors.ACCESS_TOKEN_UNKNOWN, "The access token is unknown or was revoked; log in again.")
