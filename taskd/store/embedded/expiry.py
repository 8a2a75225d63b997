"""The verb that removes what is over for longer than it is kept.

The journal need not know: what a lost catalogue is built anew from is still too old, and removed again.
"""

import functools

from taskd.model.clock import Clock
from taskd.model.retention import KINDS, Retention, cutoffs
from taskd.store.base import Expired
from taskd.store.embedded.catalogue import expiry
from taskd.store.embedded.catalogue.catalogue import Catalogue
from taskd.store.embedded.catalogue.deletion import Removal
from taskd.store.embedded.catalogue.expiry import BEGIN, Cursor, Window
from taskd.store.embedded.state import LiveState


class Expiry:
    """Looks through one kind after the other, a window at a time, and begins anew when it is through."""

    def __init__(self, state: LiveState, catalogue: Catalogue, clock: Clock) -> None:
        self._state = state
        self._catalogue = catalogue
        self._clock = clock
        self._kind = 0
        self._cursor = BEGIN

    async def step(self, general: Retention) -> Expired:
        """See ``ExpiringRecords.expire``."""
        if self._is_at_begin:
            await self._catalogue.caught_up()
        window = await self._next_window(general)
        removal = window.removal
        if removal:
            await self._catalogue.remove(removal)
        self._move_to(window.end)
        counts = len(removal.tasks), len(removal.api_requests), len(removal.logs)
        return Expired(*counts, is_last=self._is_at_begin)

    @property
    def _is_at_begin(self) -> bool:
        return self._kind == 0 and self._cursor == BEGIN

    async def _next_window(self, general: Retention) -> Window:
        own = {name: function.retention for name, function in self._state.functions.items() if function.retention}
        limits = cutoffs(KINDS[self._kind], general, own, self._clock())
        if limits is None:
            return Window(Removal(), None)
        work = functools.partial(expiry.window, kind=KINDS[self._kind], cutoffs=limits, cursor=self._cursor)
        return await self._catalogue.look_through(work)

    def _move_to(self, end: Cursor | None) -> None:
        self._cursor = end or BEGIN
        if end is None:
            self._kind = (self._kind + 1) % len(KINDS)
