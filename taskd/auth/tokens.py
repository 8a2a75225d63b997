"""Tokens that we issue: they carry their claims, signed with our key (HMAC-SHA256), so nothing of them needs storing
but which refresh tokens were used.

They end with their time, with the generation of their user, with their application, and with the key.
"""

import base64
import binascii
import hashlib
import hmac
from enum import StrEnum

import msgspec
from msgspec import Struct

_DIGEST = "sha256"


class TokenKind(StrEnum):
    """What a token is for; it begins with this, so that one cannot pass for another. ``API`` tokens say nothing
    themselves: they stand in the accounts."""

    ACCESS = "taskd_access_"
    REFRESH = "taskd_refresh_"
    OAUTH1 = "taskd_oauth1_"
    API = "taskd_token_"


class Claims(Struct, frozen=True, array_like=True):
    """What a token says. ``user_id`` is empty where an application calls for itself; an ``expiry_ms`` of 0 is never.

    Refresh tokens of one login that follow one another have the same ``id``, and are told apart by ``number``.
    """

    id: str
    user_id: str
    application_id: str
    generation: int
    expiry_ms: int
    number: int = 0

    def is_expired(self, now_ms: int) -> bool:
        """Whether its time is over."""
        return 0 < self.expiry_ms <= now_ms


_decoder = msgspec.msgpack.Decoder(Claims)


def issue(key: bytes, kind: TokenKind, claims: Claims) -> str:
    """The token that says ``claims``."""
    body = kind.value + _base64(msgspec.msgpack.encode(claims))
    return f"{body}.{_signature(key, body)}"


def read(key: bytes, kind: TokenKind, token: str) -> Claims | None:
    """What ``token`` says, in time or not; ``None`` unless it is of this kind and signed with ``key``."""
    body, _, signature = token.rpartition(".")
    genuine = token.isascii() and hmac.compare_digest(signature, _signature(key, body))
    if not genuine or not body.startswith(kind.value):
        return None
    try:
        return _decoder.decode(base64.urlsafe_b64decode(body.removeprefix(kind.value) + "=="))
    except (binascii.Error, msgspec.DecodeError):
        return None


def oauth1_secret(key: bytes, token: str) -> str:
    """The secret that requests with the OAuth 1 ``token`` are signed with."""
    return _signature(key, f"secret of {token}")


def fingerprint(secret: str) -> str:
    """What is kept of a random secret: enough to know it again."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def _signature(key: bytes, text: str) -> str:
    return _base64(hmac.digest(key, text.encode("utf-8", "surrogateescape"), _DIGEST))


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
