"""Bearer tokens of every kind, and the callers they stand for.

What was found good is remembered until it expires or the accounts change, so that a known token costs one look-up.
"""

import math

from msgspec import Struct

from taskd.auth import tokens
from taskd.auth.account_index import Directory
from taskd.auth.oidc import OidcVerifier, Subject
from taskd.auth.tokens import TokenKind
from taskd.model import errors
from taskd.model.caller import Caller
from taskd.model.clock import Clock
from taskd.model.errors import ContractError

_REMEMBERED_MAX = 10_000
_JWT_DOTS = 2


class _Proof(Struct, frozen=True):
    caller: Caller
    expiry_ms: float
    subject: Subject | None = None


class Bearers:
    """Tells whom a bearer token stands for."""

    def __init__(self, oidc: OidcVerifier | None, clock: Clock) -> None:
        self._oidc = oidc
        self._clock = clock
        self._proofs: dict[str, _Proof] = {}
        self._directory: Directory
        self._key: bytes

    def use(self, directory: Directory, key: bytes) -> None:
        """From now on these accounts and this key count."""
        self._directory, self._key = directory, key
        self._proofs.clear()

    async def caller(self, token: str) -> Caller:
        """Who shows ``token``.

        :raises ContractError: ``ACCESS_TOKEN_UNKNOWN``, ``ACCESS_TOKEN_EXPIRED``; ``UNAVAILABLE`` if its issuer is.
        """
        return (await self._proof(token)).caller

    async def subject(self, token: str) -> Subject | None:
        """Whom the JWT ``token`` is about; ``None`` if it is a token of ours. Raises as :meth:`caller` does."""
        return (await self._proof(token)).subject

    async def _proof(self, token: str) -> _Proof:
        proof = self._proofs.get(token)
        if proof is not None and self._clock() < proof.expiry_ms:
            return proof
        directory = self._directory
        proof = await self._prove(token)
        if self._clock() >= proof.expiry_ms:
            raise ContractError(errors.ACCESS_TOKEN_EXPIRED, "The access token has expired; get a new one.")
        if directory is self._directory:  # else the accounts changed meanwhile
            self._remember(token, proof)
        return proof

    def _remember(self, token: str, proof: _Proof) -> None:
        if len(self._proofs) >= _REMEMBERED_MAX:
            self._proofs.clear()
        self._proofs[token] = proof

    async def _prove(self, token: str) -> _Proof:
        if token.startswith(TokenKind.API):
            return self._prove_api_token(token)
        if token.startswith(TokenKind.ACCESS):
            return self._prove_access_token(token)
        if self._oidc is not None and token.count(".") == _JWT_DOTS:
            return self._prove_subject(await self._oidc.verify(token))
        raise _unknown()

    def _prove_api_token(self, token: str) -> _Proof:
        found = self._directory.token(tokens.fingerprint(token))
        if found is None:
            raise _unknown()
        return _Proof(self._directory.token_caller(found), found.expiry_ms or math.inf)

    def _prove_access_token(self, token: str) -> _Proof:
        claims = tokens.read(self._key, TokenKind.ACCESS, token)
        application = self._directory.application(claims.application_id) if claims else None
        user = self._directory.user(claims.user_id) if claims else None
        is_void = claims is None or application is None or (claims.user_id and user is None)
        if claims is None or is_void or (user and user.generation != claims.generation):
            raise _unknown()
        return _Proof(self._directory.caller(user, application), claims.expiry_ms)

    def _prove_subject(self, subject: Subject) -> _Proof:
        """Names that the issuer has and we have not are no concern of ours."""
        permissions = self._directory.permissions(subject.grants, roles=subject.grants)
        caller = Caller(user_id=subject.id, permissions=permissions, is_authenticated=True)
        return _Proof(caller, subject.expiry_ms, subject)


def _unknown() -> ContractError:
    return ContractError(errors.ACCESS_TOKEN_UNKNOWN, "The access token is unknown or was revoked; log in again.")
