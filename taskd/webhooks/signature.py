"""Signatures of Standard Webhooks: HMAC-SHA256 over the id, the time and the body. Small, since it is no more."""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Sequence

from taskd.model.limits import WEBHOOK_SECRET_MAX_BYTES, WEBHOOK_SECRET_MIN_BYTES

_PREFIX = "whsec_"
_NEW_SECRET_BYTES = 32


def new_secret() -> str:
    """A secret that nobody knows."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_NEW_SECRET_BYTES)).decode()


def is_secret(text: str) -> bool:
    """Whether ``text`` is ``whsec_`` and the base64 of 24 to 64 bytes."""
    if not text.startswith(_PREFIX):
        return False
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return False
    return WEBHOOK_SECRET_MIN_BYTES <= len(key) <= WEBHOOK_SECRET_MAX_BYTES


def headers(message_id: str, at_s: int, body: bytes, in_force: Sequence[str]) -> dict[str, str]:
    """The headers that a receiver verifies ``body`` by, signed with each of the secrets ``in_force``."""
    signed = f"{message_id}.{at_s}.".encode() + body
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(_signature(secret, signed) for secret in in_force),
    }


def _signature(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
