"""The verb that deletes ended tasks for good: their numbers go into the journal, and the catalogue lets go of them.

The journal still holds what it said of them until it is compacted; a replay deletes them again.
"""

import functools
from collections.abc import Awaitable, Callable, Collection, Sequence

from taskd.store.embedded.catalogue import deletion
from taskd.store.embedded.catalogue.catalogue import Catalogue
from taskd.store.embedded.commit import CommitLog
from taskd.store.embedded.events import Deleted
from taskd.store.embedded.serial import SerialChanges


class Deletions:
    """Deletes ended tasks, one call after the other: what one has found is still there when it is deleted."""

    def __init__(
        self, commits: CommitLog, catalogue: Catalogue, forget: Callable[[Sequence[int]], Awaitable[None]]
    ) -> None:
        """``forget`` has nobody told any more of tasks with these numbers."""
        self._commits = commits
        self._catalogue = catalogue
        self._forget = forget
        self._changes = SerialChanges("deletions")

    async def delete(self, ids: Collection[str]) -> int:
        """See ``TaskRecords.delete_tasks``."""
        return await self._changes.run(functools.partial(self._delete, list(dict.fromkeys(ids))))

    async def _delete(self, ids: Sequence[str]) -> int:
        self._commits.require_writable()
        seqs = await self._catalogue.read(functools.partial(deletion.ended_seqs, ids=ids))
        if seqs:
            await self._forget(seqs)
            await self._commits.submit([Deleted(tuple(seqs))])
        return len(seqs)
