"""Sharing Python's interpreter between the event loop and the threads that compact, list and unpack."""

import sys

SWITCH_INTERVAL_S = 0.0005
"""How long a thread keeps the interpreter when another wants it.

The event loop lets go of it after every callback, and with Python's own 5 ms waits that long for the next one: a
compaction would take a hundred busy connections half a second. Shorter than this, switching itself is what costs.
"""


def let_event_loop_in() -> None:
    """Has threads let go of the interpreter soon; for the whole process."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
