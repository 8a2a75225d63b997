"""ObjectIds: 24 lower-case hex digits that sort by the moment they were made.

Layout (as in BSON): 4 bytes of Unix seconds, 5 random bytes per process, a 3-byte counter.
"""

import os
import re

from taskd.model.clock import Clock, system_clock_ms

_PATTERN = re.compile(r"[0-9a-f]{24}")
_COUNTER_MAX = 0xFFFFFF


def is_object_id(text: str) -> bool:
    """Whether ``text`` is an ObjectId in its canonical, lower-case form."""
    return _PATTERN.fullmatch(text) is not None


def object_id_seconds(object_id: str) -> int:
    """The Unix second in which ``object_id`` was made."""
    return int(object_id[:8], 16)


class ObjectIdFactory:
    """Makes ids that strictly ascend, also when the clock steps back or the process restarts.

    ``last_id`` is the newest id of an earlier run: new ids begin in a later second than it.
    """

    def __init__(self, clock: Clock = system_clock_ms, last_id: str | None = None) -> None:
        self._clock = clock
        self._random = os.urandom(5).hex()
        self._seconds = object_id_seconds(last_id) if last_id else 0
        self._counter = _COUNTER_MAX if last_id else -1
        self._prefix = f"{self._seconds:08x}{self._random}"

    def __call__(self) -> str:
        """A new id, greater than every id made before it."""
        seconds = self._clock() // 1000
        self._counter += 1
        if seconds > self._seconds:
            self._begin_second(seconds)
        elif self._counter > _COUNTER_MAX:
            self._begin_second(self._seconds + 1)
        return f"{self._prefix}{self._counter:06x}"

    def _begin_second(self, seconds: int) -> None:
        self._seconds = seconds
        self._prefix = f"{seconds:08x}{self._random}"
        self._counter = 0
