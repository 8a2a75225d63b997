"""Values of a query as points in time, for the fields that are times."""

from taskd.model.timestamps import parse_timestamp
from taskd.rql.errors import RqlError
from taskd.rql.query import Guessed, Moment, Value


def epoch_ms(value: Value, position: int) -> int:
    """Milliseconds since the epoch: of a moment, of a text that is an RFC 3339 timestamp, or of a number of them.

    Raises :class:`RqlError`, about ``position``, for any other value.
    """
    if isinstance(value, Moment):
        return value.epoch_ms
    found = parse_timestamp(value.value if isinstance(value, Guessed) else value)
    if found is None:
        raise RqlError("A time is expected, such as 2026-01-01T00:00:00.000Z or epoch milliseconds", position)
    return found
