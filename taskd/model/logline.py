"""A line that a function printed."""

from msgspec import Struct


class LogLine(Struct, frozen=True, gc=False):
    """One line of a function's output, without its line end."""

    timestamp_ms: int
    message: str
