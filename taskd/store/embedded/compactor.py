"""Keeping the journal short: decides when sealed segments are worth a snapshot, and has a thread make it."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from taskd.model.clock import Clock
from taskd.store.embedded.catalogue.catalogue import Catalogue
from taskd.store.embedded.errors import StoreError
from taskd.store.embedded.journal.compaction import replace_with_snapshot
from taskd.store.embedded.journal.directory import Segment, segments
from taskd.store.embedded.journal.format import Kind
from taskd.store.embedded.journal.writer import JournalWriter
from taskd.store.embedded.snapshot import snapshot_payloads
from taskd.system.files import SyncFailedError

log = logging.getLogger(__name__)


class Compactor:
    """Replaces sealed segments once they are as long as the snapshot before them: work grows with what is written."""

    def __init__(
        self,
        directory: Path,
        journal: JournalWriter[Any],
        catalogue: Catalogue,
        clock: Clock,
        on_fatal: Callable[[BaseException], None],
    ) -> None:
        """``on_fatal`` is told when nobody knows any more what is on the disk."""
        self._directory = directory
        self._journal = journal
        self._catalogue = catalogue
        self._clock = clock
        self._on_fatal = on_fatal
        self._sealed_below = journal.sealed_below
        self._one_at_a_time = asyncio.Lock()
        self._running: asyncio.Task[None] | None = None
        self.failure: Exception | None = None
        """Why the last attempt failed; ``None`` if it did not."""

    def wake(self) -> None:
        """Looks whether a segment was sealed since the last time; cheap, so it may be called for every frame."""
        if self._journal.sealed_below > self._sealed_below and (self._running is None or self._running.done()):
            self._sealed_below = self._journal.sealed_below
            self._running = asyncio.create_task(self._compact_if_worth_it(), name="compaction")

    async def stop(self) -> None:
        """Waits for a compaction that runs: it is short, and what it has not begun the next start can do."""
        if self._running is not None:
            await self._running

    async def compact(self) -> None:
        """Puts a snapshot in the place of all sealed segments, whether it is worth it or not.

        A segment goes only when the catalogue has durably taken in what it says: the ends of tasks are nowhere else.
        """
        async with self._one_at_a_time:
            await self._compact()

    async def _compact(self) -> None:
        last_sequence = self._journal.sealed_below
        sealed = await asyncio.to_thread(self._sealed, last_sequence)
        if not sealed or sealed[-1].header.kind is Kind.SNAPSHOT:
            return
        if await self._catalogue.make_durable() < last_sequence:
            return
        size_bytes = await asyncio.to_thread(self._replace, sealed, last_sequence)
        before_bytes = sum(segment.size_bytes for segment in sealed)
        log.info("Compacted %d segments of %d bytes into a snapshot of %d.", len(sealed), before_bytes, size_bytes)

    async def _compact_if_worth_it(self) -> None:
        try:
            sealed = await asyncio.to_thread(self._sealed, self._journal.sealed_below)
            sizes = {kind: sum(s.size_bytes for s in sealed if s.header.kind is kind) for kind in Kind}
            if sizes[Kind.LOG] >= sizes[Kind.SNAPSHOT]:
                await self.compact()
            self.failure = None
        except SyncFailedError as error:
            self._on_fatal(error)
        except (OSError, StoreError) as error:
            self.failure = error
            log.error("The journal could not be compacted, so it goes on growing: %s", error)

    def _sealed(self, last_sequence: int) -> list[Segment]:
        live, _ = segments(self._directory)
        return [segment for segment in live if segment.header.first_sequence <= last_sequence]

    def _replace(self, sealed: list[Segment], last_sequence: int) -> int:
        return replace_with_snapshot(sealed, last_sequence, snapshot_payloads(sealed), self._clock())
