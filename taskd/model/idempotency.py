"""Idempotency keys: what tells a request that is sent again from a new one."""

from msgspec import Struct


class IdempotencyKey(Struct, frozen=True, gc=False):
    """A caller's key and what it was sent with, both as digests: their texts are nobody's business later."""

    digest: bytes
    """Of the key and of whose it is: the keys of two callers never meet."""
    fingerprint: bytes
    """Of the request: the same key with another one is a mistake."""
    owner: str = ""
    """Whose share of all keys it takes; empty where callers are not told apart."""
