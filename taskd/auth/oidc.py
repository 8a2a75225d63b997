"""JWTs of a configured OIDC issuer: whether they are genuine and for us, and what their claims allow."""

from collections.abc import Iterable
from typing import Any

import jwt
from jwt import PyJWK
from msgspec import Struct

from taskd.auth.jwks import IssuerKeys
from taskd.model import errors
from taskd.model.clock import Clock
from taskd.model.errors import ContractError

_ALGORITHMS = ("RS256", "ES256")
_LEEWAY_S = 30
"""For clocks that differ."""
_SUBJECT_MAX_CHARS = 255


class Subject(Struct, frozen=True):
    """Whom a JWT is about."""

    id: str
    email: str
    first_name: str
    last_name: str
    grants: tuple[str, ...]
    """Names of permissions and roles, as the issuer has them; not all need to mean something here."""
    expiry_ms: int
    key: PyJWK
    """What the JWT is signed with; proves nothing any more once the issuer has another one, or none, of its id."""


class OidcVerifier:
    """Checks JWTs of one issuer for one audience."""

    def __init__(self, issuer: str, audience: str, grants_claim: str, keys: IssuerKeys, clock: Clock) -> None:
        self._issuer = issuer
        self._audience = audience
        self._grants_path = grants_claim.split(".")
        self._keys = keys
        self._clock = clock

    async def verify(self, token: str) -> Subject:
        """Whom ``token`` is about.

        :raises ContractError: ``ACCESS_TOKEN_UNKNOWN``, ``ACCESS_TOKEN_EXPIRED``, or ``UNAVAILABLE`` without keys.
        """
        try:
            header = jwt.get_unverified_header(token)
            key = await self._keys.get(str(header.get("kid", "")))
            if key is None or header.get("alg") not in _ALGORITHMS or key.algorithm_name != header["alg"]:
                raise _unknown("is signed with a key that its issuer does not have")
            claims = jwt.decode(token, key, **self._rules())
        except (jwt.PyJWTError, RecursionError) as error:  # the latter before PyJWT 2.13, of a header nested deep
            raise _unknown(f"is refused: {type(error).__name__}") from None
        return self._subject(claims, key)

    async def is_still_proved(self, subject: Subject) -> bool:
        """Whether the issuer's keys have not been fetched anew since ``subject`` was verified, nor need to be."""
        return await self._keys.get(str(subject.key.key_id)) is subject.key

    async def close(self) -> None:
        """Ends connections to the issuer."""
        await self._keys.close()

    def _rules(self) -> dict[str, Any]:
        """What PyJWT checks; the times are checked here, by our clock."""
        options = {
            "require": ["exp", "iss", "aud", "sub"],
            "verify_exp": False,
            "verify_nbf": False,
            "verify_iat": False,
        }
        return {"algorithms": _ALGORITHMS, "audience": self._audience, "issuer": self._issuer, "options": options}

    def _subject(self, claims: dict[str, Any], key: PyJWK) -> Subject:
        now_s = self._clock() / 1000
        expiry_s, not_before_s = _seconds(claims, "exp"), _seconds({"nbf": 0, **claims}, "nbf")
        if expiry_s + _LEEWAY_S <= now_s:
            raise ContractError(errors.ACCESS_TOKEN_EXPIRED, "The access token has expired; get a new one.")
        if not_before_s - _LEEWAY_S > now_s:
            raise _unknown("is not valid yet")
        if not 0 < len(claims["sub"]) <= _SUBJECT_MAX_CHARS:
            raise _unknown(f"has a subject that is not of 1 to {_SUBJECT_MAX_CHARS} characters")
        return Subject(
            id=claims["sub"],
            email=str(claims.get("email", "")),
            first_name=str(claims.get("given_name", "")),
            last_name=str(claims.get("family_name", "")),
            grants=tuple(_names(_nested(claims, self._grants_path))),
            expiry_ms=int((expiry_s + _LEEWAY_S) * 1000),
            key=key,
        )


def _unknown(why: str) -> ContractError:
    return ContractError(errors.ACCESS_TOKEN_UNKNOWN, f"The access token {why}.")


def _seconds(claims: dict[str, Any], name: str) -> float:
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 10**11:
        raise _unknown(f"has an {name} that is no time")
    return value


def _nested(claims: Any, path: Iterable[str]) -> Any:
    for name in path:
        claims = claims.get(name) if isinstance(claims, dict) else None
    return claims


def _names(value: Any) -> Iterable[str]:
    """A list of names, or names with spaces between them as in ``scope``."""
    if isinstance(value, str):
        return value.split()
    return (name for name in value if isinstance(name, str)) if isinstance(value, list) else ()
