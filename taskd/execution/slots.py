"""How many calls of one kind may be made at once, and how many of one caller while others call, too."""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from taskd.model.errors import ContractError, ErrorKind
from taskd.model.shares import Shares

ASKED_S = 60.0
"""How long the others are held to their shares for the sake of a caller who asked and was perhaps refused."""


class Slots:
    """Each node runs as many as it was set up for.

    A caller may have them all while nobody else has asked for a minute. Then each keeps to a share, see
    ``taskd.model.shares``, that leaves some slots free: whoever was refused gets in as calls of the others end.
    """

    def __init__(
        self, maximum: int, full: ErrorKind, setting: str, *, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        """``full`` is what a call too many is told, and ``setting`` where that can be changed."""
        self._maximum = maximum
        self._full = full
        self._setting = setting
        self._now_s = now_s
        self._shares: Shares[str] = Shares()
        self._asked: OrderedDict[str, float] = OrderedDict()
        """When each caller last asked, longest ago first."""

    @contextmanager
    def slot(self, owner: str) -> Iterator[None]:
        """Holds a slot of ``owner`` meanwhile. Raises ``ContractError`` if none is free for them."""
        self._note(owner)
        if self._shares.total >= self._maximum:
            message = f"{self._maximum} such calls run already, as many as may ({self._setting}); try again soon."
            raise ContractError(self._full, message)
        if len(self._asked) > 1 and not self._shares.has_room(owner, self._maximum * 0.75):
            message = f"{self._shares.held(owner)} such calls of this caller run already, and others call, too"
            raise ContractError(self._full, f"{message} ({self._setting}); try again soon.")
        self._shares.take(owner)
        try:
            yield
        finally:
            self._shares.give_back(owner)

    def _note(self, owner: str) -> None:
        now_s = self._now_s()
        self._asked[owner] = now_s
        self._asked.move_to_end(owner)
        while next(iter(self._asked.values())) < now_s - ASKED_S:
            self._asked.popitem(last=False)
