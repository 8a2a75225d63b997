"""The wall clock, injected wherever a decision depends on time, so that tests never wait for it."""

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Returns the time now, in milliseconds since the Unix epoch."""


def system_clock_ms() -> int:
    """The machine's wall clock, in milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000
