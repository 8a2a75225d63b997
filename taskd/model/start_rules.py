"""How much of a function may start: how many of its tasks run at once, and how many start in a time.

Each may hold for the function as a whole, or for tasks apart by a key, which is a field of their data.
"""

from functools import lru_cache

from msgspec import Struct

from taskd.model.data_key import NO_KEY, reader_of
from taskd.model.gcra import Gcra


class Concurrency(Struct, frozen=True, gc=False, array_like=True):
    """How many run at once. Persisted as an array in this order: add new fields at the end, with a default."""

    total: int | None = None
    """Of the function; ``None`` sets no limit."""
    per_key: int | None = None
    """Of tasks that have the same ``key``; both are ``None``, or none is."""
    key: str | None = None
    """A path into the data, such as ``data.patientId``."""


class Throttle(Struct, frozen=True, gc=False, array_like=True):
    """How many start in a time. Persisted as an array in this order: add new fields at the end, with a default."""

    limit: int
    period_ms: int
    burst: int = 1
    """How many may start at once when none did for long."""
    key: str | None = None
    """A path into the data. Tasks that have the same are throttled together, and apart from others."""

    @property
    def gcra(self) -> Gcra:
        """The rule that it follows."""
        return Gcra.of(self.limit, self.period_ms, self.burst)


class StartRules(Struct, frozen=True, gc=False, array_like=True):
    """All of a function's rules. Persisted as an array in this order: add new fields at the end, with a default."""

    concurrency: Concurrency | None = None
    throttle: Throttle | None = None

    @property
    def key_paths(self) -> tuple[str | None, str | None]:
        """Where its rules find their keys: of what runs at once, and of what starts in a time."""
        at_once = None if self.concurrency is None else self.concurrency.key
        return at_once, None if self.throttle is None else self.throttle.key


class Keys(Struct, frozen=True, gc=False, array_like=True, order=True):
    """What the rules of a function tell a task from others by."""

    at_once: bytes = NO_KEY
    in_time: bytes = NO_KEY


NO_KEYS = Keys()


class KeyReader:
    """Reads the keys of tasks under some rules."""

    def __init__(self, paths: tuple[str | None, str | None]) -> None:
        self._at_once, self._in_time = (None if path is None else reader_of(path) for path in paths)
        self._are_same = paths[0] == paths[1]
        self.reads_data = paths != (None, None)
        """Whether it looks at the data at all."""

    def __call__(self, data: bytes) -> Keys:
        """The keys of a task with this data."""
        at_once = NO_KEY if self._at_once is None else self._at_once(data)
        if self._are_same:
            return Keys(at_once, at_once)
        return Keys(at_once, NO_KEY if self._in_time is None else self._in_time(data))


@lru_cache(maxsize=1024)
def key_reader(paths: tuple[str | None, str | None]) -> KeyReader:
    """The reader for rules with these ``key_paths``."""
    return KeyReader(paths)
