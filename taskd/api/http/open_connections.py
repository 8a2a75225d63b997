"""The open connections: no more than there may be, so that descriptors are left for all else.

For one more, the connection that has idled longest is closed. Where none idles the new one is refused.
"""

from collections import deque
from typing import Protocol


class Connection(Protocol):
    """What is known of a connection here."""

    @property
    def idle_until_s(self) -> float | None:
        """When it will be closed for idling, which is earliest for what has idled longest; ``None`` while in use."""

    def force_close(self) -> None:
        """Closes it at once."""


class OpenConnections:
    """Counts connections. Those that idle are looked for only when there are too many, and in one pass for many."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._open: set[Connection] = set()
        self._idle: deque[tuple[float, Connection]] = deque()
        """Those that idled at the last pass, longest first; they may have ended or been used since."""

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: Connection) -> bool:
        """Whether there is room for ``connection``, which then counts until :meth:`remove`."""
        while len(self._open) >= self.most:
            idle = self._longest_idle()
            if idle is None:
                return False
            self._open.remove(idle)
            idle.force_close()
        self._open.add(connection)
        return True

    def remove(self, connection: Connection) -> None:
        """It is closed; nothing happens if it did not count."""
        self._open.discard(connection)

    def _longest_idle(self) -> Connection | None:
        for may_search in (True, False):
            while self._idle:
                until_s, connection = self._idle.popleft()
                if connection in self._open and connection.idle_until_s == until_s:
                    return connection
            if may_search:
                self._search()
        return None

    def _search(self) -> None:
        found = [(until_s, each) for each in self._open if (until_s := each.idle_until_s) is not None]
        found.sort(key=lambda entry: entry[0])
        self._idle = deque(found)
