"""The verbs that pause everything in one store."""

import functools
import logging

from msgspec.structs import replace

from taskd.model.pause import Pause, described
from taskd.store.embedded.commit import CommitLog
from taskd.store.embedded.events import AllPaused, AllResumed
from taskd.store.embedded.serial import SerialChanges

log = logging.getLogger(__name__)


class Pausing:
    """Changes are made one after the other, each from what the one before it has left."""

    def __init__(self, commits: CommitLog) -> None:
        self._commits = commits
        self._changes = SerialChanges("pausing")

    @property
    def now(self) -> Pause | None:
        """See ``Pausable.pause``."""
        return self._commits.state.pause

    async def pause(self, asked: Pause) -> Pause:
        """See ``Pausable.pause_all``."""
        return await self._changes.run(functools.partial(self._pause, asked))

    async def resume(self) -> None:
        """See ``Pausable.resume_all``."""
        await self._changes.run(self._resume)

    def report(self) -> None:
        """Says in the log that everything is paused, if it is."""
        if self.now is not None:
            log.warning("Nothing is started: %s. `taskd resume` ends that.", described(self.now))

    async def _pause(self, asked: Pause) -> Pause:
        self._commits.require_writable()
        pause = asked if self.now is None else replace(asked, since_ms=self.now.since_ms)
        await self._commits.submit([AllPaused(pause)])
        self.report()
        return pause

    async def _resume(self) -> None:
        if self.now is not None:
            self._commits.require_writable()
            await self._commits.submit([AllResumed()])
            log.info("Everything goes on.")
