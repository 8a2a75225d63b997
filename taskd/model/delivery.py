"""Deliveries: what is to be said to a webhook of one event, until it was said or given up.

The status changes by the functions here alone. The attempts follow the schedule that Standard Webhooks recommends.
"""

from enum import StrEnum
from zlib import crc32

from msgspec import Struct
from msgspec.structs import replace

from taskd.model import limits


class DeliveryStatus(StrEnum):
    """Where a delivery is in its life; the values are the wire's."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"


class Delivery(Struct, frozen=True, gc=False, array_like=True):
    """One event on its way to one webhook. Persisted as an array in this order: add new fields at the end."""

    id: str
    """The receiver gets it with each attempt, and can tell by it what it had before."""
    webhook_id: str
    event_type: str
    subject_id: str
    """The id of what the event is about, such as a task."""
    creation_ms: int
    """When the event happened."""
    content: bytes
    """The JSON text of an object: what is said about it, its data left out."""
    next_ms: int
    """When it is tried next, or was to be tried last."""
    status: DeliveryStatus = DeliveryStatus.WAITING
    attempts: int = 0
    attempt_ms: int | None = None
    """When the last attempt came to its end."""
    status_code: int | None = None
    """Of the last answer; ``None`` if there was none."""
    error: str | None = None
    """Why the last attempt failed, for people."""

    @property
    def is_waiting(self) -> bool:
        """Whether it is still to be delivered."""
        return self.status is DeliveryStatus.WAITING


class Attempt(Struct, frozen=True, gc=False, array_like=True):
    """What became of one attempt. Persisted as an array in this order: add new fields at the end."""

    delivery_id: str
    at_ms: int
    status_code: int | None = None
    error: str | None = None
    """``None`` if it was delivered."""


def after(delivery: Delivery, attempt: Attempt) -> Delivery:
    """``delivery`` once ``attempt`` has ended: delivered, failed for good, or to be tried again."""
    attempts = delivery.attempts + 1
    tried = replace(
        delivery,
        attempts=attempts,
        attempt_ms=attempt.at_ms,
        status_code=attempt.status_code,
        error=attempt.error,
    )
    if attempt.error is None:
        return replace(tried, status=DeliveryStatus.DELIVERED)
    if attempts > len(limits.DELIVERY_DELAYS_MS):
        return replace(tried, status=DeliveryStatus.FAILED)
    return replace(tried, next_ms=attempt.at_ms + _delay_ms(delivery.id, attempts))


def again(delivery: Delivery, now_ms: int) -> Delivery:
    """``delivery`` is tried at once, and as often as a new one."""
    return replace(delivery, status=DeliveryStatus.WAITING, attempts=0, next_ms=now_ms)


def _delay_ms(delivery_id: str, attempts: int) -> int:
    """How long until the next attempt after so many. What the jitter adds is the same for the same attempt."""
    delay_ms = limits.DELIVERY_DELAYS_MS[attempts - 1]
    spread = crc32(f"{delivery_id}:{attempts}".encode()) / 2**32
    return delay_ms + int(delay_ms * limits.DELIVERY_JITTER * spread)
