"""Idempotency keys: what tells a request that is sent again from a new one."""

from msgspec import Struct


class IdempotencyKey(Struct, frozen=True, gc=False):
    """A caller's key and what it was sent with, both as digests: their texts are nobody's business later."""

    digest: bytes
    """Of the key and of whose it is: the keys of two callers never meet."""
    fingerprint: bytes
    """Of the request: the same key with another one is a mistake."""


class UsedKey(Struct, frozen=True, gc=False, array_like=True):
    """A key that tasks were created under. Written to the journal in this order: add new fields at the end."""

    digest: bytes
    fingerprint: bytes
    at_ms: int
    first_seq: int
    """The first of the tasks; the others were numbered on from it."""
    count: int
