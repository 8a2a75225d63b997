"""Letting the event loop have the interpreter, from a thread that computes for long.

Python hands the interpreter over when another thread has waited for it for a whole switch interval. A thread that
lets go of it more often, if only for a moment (a short write, a checksum), wakes those that wait each time, has it
back before they are awake, and has them begin to wait anew: without a pause they stand still for tens of milliseconds.
"""

import time

WORK_S = 0.001
"""How long a thread may compute between pauses."""
PAUSE_S = 0.0001
"""Longer than it takes a waiting thread to wake up."""


class GilPacer:
    """The pauses of one thread."""

    def __init__(self) -> None:
        self._since_s = time.perf_counter()

    def __call__(self) -> None:
        """Pauses if it is time to; to be called at least every few hundred microseconds."""
        if time.perf_counter() - self._since_s >= WORK_S:
            time.sleep(PAUSE_S)
            self._since_s = time.perf_counter()
