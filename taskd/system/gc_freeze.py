"""Python's garbage collector beside a million tasks: what has survived a full collection is not traversed again.

A full collection traverses every list of waiting tasks, and with a million of them stops the event loop for some
fifty milliseconds. What has survived one is all but sure to stay for long, and to be freed by its reference count. So
it is moved to the permanent generation (``gc.freeze``); cycles that form among frozen objects are found when those have
become twice as many.
"""

import gc
import sys

_YOUNG_MAX = 10_000
"""Objects before the youngest generation is collected. Requests in progress hold thousands that are soon freed, and
Python's own 700 would have most of them traversed again and again: some 2 µs of each creation."""
_GROWTH = 2
_GROWTH_MIN = 100_000
"""Objects: so few are traversed in a few milliseconds."""


class FrozenHeap:
    """Freezes what survives, from :meth:`start` to :meth:`stop`. One is enough for a process."""

    def __init__(self) -> None:
        self._thaw_above = 0
        self._is_thawed = False
        self._thresholds = gc.get_threshold()

    def start(self) -> None:
        """Freezes all that is there; this takes a full collection."""
        gc.set_threshold(_YOUNG_MAX, *self._thresholds[1:])
        gc.collect()
        self._freeze_all()
        gc.callbacks.append(self._on_collection)

    def stop(self) -> None:
        """Leaves everything to the collector again."""
        gc.callbacks.remove(self._on_collection)
        gc.set_threshold(*self._thresholds)
        gc.unfreeze()

    def _on_collection(self, phase: str, info: dict[str, int]) -> None:
        if phase != "stop" or info["generation"] < len(gc.get_threshold()) - 1:
            return
        if self._is_thawed:
            self._freeze_all()
            return
        gc.freeze()
        if gc.get_freeze_count() > self._thaw_above:
            gc.unfreeze()
            self._is_thawed = True

    def _freeze_all(self) -> None:
        """After a collection that everything has survived that is there."""
        gc.freeze()
        self._is_thawed = False
        self._thaw_above = max(_GROWTH * gc.get_freeze_count(), _GROWTH_MIN)


SWITCH_INTERVAL_S = 0.0005
"""How long a thread keeps the interpreter lock when another waits for it.

The event loop releases it after every callback, and with Python's own 5 ms waits that long for the next one: during a
compaction a hundred busy connections would take half a second. Shorter than this, switching itself is what costs.
"""


def shorten_switch_interval() -> None:
    """Makes threads release the interpreter lock soon; for the whole process."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
