"""AWS Signature Version 4, for requests that differ only in path, body and time.

The algorithm is that of the AWS General Reference: canonical request, string to sign, signing key, signature. The
signing key of a day and all that signatures of a second share are computed once. What the requests are and how they
are sent is not known here.
"""

import hashlib
import hmac
import time

from msgspec import Struct

_ALGORITHM = "AWS4-HMAC-SHA256"

_BLOCK_BYTES = 64
"""What SHA-256 takes in at once, and so the length of a key in an HMAC."""
_INNER_PAD, _OUTER_PAD = 0x36, 0x5C


class Credentials(Struct, frozen=True):
    """Who signs. ``token`` belongs to temporary credentials."""

    access_key: str
    secret_key: str
    token: str | None = None

    def __repr__(self) -> str:
        return f"Credentials(access_key={self.access_key!r})"


class SigningContext(Struct, frozen=True):
    """What all signatures of one second share."""

    second: int
    amz_date: bytes
    """The value of ``X-Amz-Date``, for example ``20210929T151707Z``."""
    authorization: bytes
    """The value of ``Authorization``, up to the signature."""
    inner_prefix: bytes
    """The inner padded key of the HMAC, then the string to sign up to the hash of the canonical request."""
    outer_prefix: bytes
    """The outer padded key of the HMAC."""


class Signer:
    """Signs for one set of credentials, one region and one service.

    ``signed_headers`` are the names of the signed headers as they stand in the canonical request:
    lower case, sorted, joined by semicolons.
    """

    def __init__(self, credentials: Credentials, region: str, service: str, signed_headers: str) -> None:
        self._credentials = credentials
        self._region = region
        self._service = service
        self._signed_headers = signed_headers
        self._day = ""
        self._key = b""
        self._context = self._context_at(0)

    def context(self, now_ms: int) -> SigningContext:
        """What signatures of this second share; ``now_ms`` is milliseconds since the epoch."""
        second = now_ms // 1000
        if second != self._context.second:
            self._context = self._context_at(second)
        return self._context

    def _context_at(self, second: int) -> SigningContext:
        amz_date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
        scope = f"{amz_date[:8]}/{self._region}/{self._service}/aws4_request"
        credential = f"{self._credentials.access_key}/{scope}"
        key = self._signing_key(amz_date[:8])
        return SigningContext(
            second=second,
            amz_date=amz_date.encode(),
            authorization=(
                f"{_ALGORITHM} Credential={credential}, SignedHeaders={self._signed_headers}, Signature="
            ).encode(),
            inner_prefix=_padded(key, _INNER_PAD) + f"{_ALGORITHM}\n{amz_date}\n{scope}\n".encode(),
            outer_prefix=_padded(key, _OUTER_PAD),
        )

    def _signing_key(self, day: str) -> bytes:
        if day != self._day:
            key = f"AWS4{self._credentials.secret_key}".encode()
            for part in (day, self._region, self._service, "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._day, self._key = day, key
        return self._key


def _padded(key: bytes, pad: int) -> bytes:
    return bytes(byte ^ pad for byte in key.ljust(_BLOCK_BYTES, b"\0"))


def signature(context: SigningContext, canonical_request: bytes) -> bytes:
    """The signature, in hex, of a canonical request that carries ``context.amz_date``.

    The HMAC (RFC 2104) is written out: ``hmac.digest`` sets itself up with the key for every call, which would be
    more than all that is hashed here.
    """
    digest = hashlib.sha256(canonical_request).hexdigest().encode()
    inner = hashlib.sha256(context.inner_prefix + digest).digest()
    return hashlib.sha256(context.outer_prefix + inner).hexdigest().encode()
