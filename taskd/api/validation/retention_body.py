"""The part of a function's body that says how long what its tasks leave is kept."""

from msgspec import Struct
from msgspec.structs import asdict

from taskd.api.validation.body_decoder import Number, field_error
from taskd.model import limits
from taskd.model.retention import Retention


class RetentionBody(Struct, rename="camel"):
    """Seconds for which what is over is kept; what is not named is kept as long as that of other functions."""

    complete: Number | None = None
    failed: Number | None = None
    canceled: Number | None = None
    retried: Number | None = None
    api_requests: Number | None = None
    logs: Number | None = None


def retention_of(body: RetentionBody) -> Retention:
    """What ``body`` asks for, as a whole: what it does not name is not set any more.

    :raises ContractError: ``FIELD_FORMAT`` for a time that is too short or too long.
    """
    return Retention(**{f"{name}_ms": _milliseconds(name, seconds) for name, seconds in asdict(body).items()})


def _milliseconds(name: str, seconds: float | None) -> int | None:
    if seconds is None:
        return None
    least_s, most_s = limits.RETENTION_MIN_S, limits.RETENTION_MAX_S
    if not least_s <= seconds <= most_s:
        wire_name = "apiRequests" if name == "api_requests" else name
        raise field_error(f"executionOptions.retention.{wire_name}", f"be from {least_s} to {most_s} seconds")
    return round(seconds * 1000)
