"""The verbs that erase tasks so that no file has anything of them any more."""

import asyncio
import functools
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from taskd.store.base import StoreUnavailableError
from taskd.store.embedded.catalogue import deletion, links
from taskd.store.embedded.catalogue.catalogue import Catalogue
from taskd.store.embedded.catalogue.links import NO_TASK
from taskd.store.embedded.commit import CommitLog
from taskd.store.embedded.compactor import Compactor
from taskd.store.embedded.deliveries import Deliveries
from taskd.store.embedded.errors import StoreError
from taskd.store.embedded.events import Deleted, Event, IdTaken, KeysUsed, UniqueKeysErased, Unlinked, UsedKey
from taskd.store.embedded.journal.directory import segments
from taskd.store.embedded.journal.format import Kind
from taskd.store.embedded.journal.writer import JournalWriter
from taskd.store.embedded.serial import SerialChanges
from taskd.store.embedded.set_aside import remove_set_aside
from taskd.store.embedded.snapshot import EVERY_KEY_KEPT
from taskd.system.files import SyncFailedError

_KEYS_AT_ONCE = 2_000
"""Keys that are looked at before others have their turn: some tenths of a millisecond."""


class Erasure:
    """Erases tasks of one data directory, one call after the other."""

    def __init__(
        self,
        data: Path,
        commits: CommitLog,
        catalogue: Catalogue,
        *,
        deliveries: Deliveries,
        journal: JournalWriter[Any],
        compactor: Compactor,
        new_id: Callable[[], str],
        on_fatal: Callable[[BaseException], None],
    ) -> None:
        """``on_fatal`` is told when nobody knows any more what is on the disk."""
        self._on_fatal = on_fatal
        self._new_id = new_id
        self._data = data
        self._commits = commits
        self._catalogue = catalogue
        self._deliveries = deliveries
        self._journal = journal
        self._compactor = compactor
        self._changes = SerialChanges("erasure")

    async def erase(self, ids: Collection[str]) -> int:
        """See ``ErasableRecords.erase_tasks``."""
        return await self._changes.run(functools.partial(self._erase, list(dict.fromkeys(ids))))

    async def purge(self) -> None:
        """See ``ErasableRecords.purge``."""
        await self._changes.run(self._purge)

    async def _erase(self, ids: Sequence[str]) -> int:
        self._commits.require_writable()
        seqs = await self._catalogue.read(functools.partial(deletion.ended_seqs, ids=ids))
        if seqs:
            behind = await self._catalogue.read(functools.partial(links.events_behind, seqs=seqs))
            await self._remove_events(behind)  # first: without its tasks none is found
            await self._deliveries.forget_tasks(seqs)
            blanked = await self._blank_keys(sorted(seqs))
            await self._commits.submit([Deleted(tuple(seqs)), *self._free_unique_keys(seqs), *blanked])
        # afterwards, so that none is made meanwhile; and also when an earlier call came no further than this
        await self._unlink(ids)
        return len(seqs)

    async def _unlink(self, ids: Sequence[str]) -> None:
        await self._catalogue.caught_up()
        gone = set(ids).difference(await self._catalogue.read(functools.partial(deletion.known, ids=ids)))
        await self._deliveries.forget(sorted(gone))  # also of those that went before, and not by an erasure
        events = await self._catalogue.look_through(functools.partial(links.events_naming, ids=gone))
        await self._remove_events(events)
        found = await self._catalogue.look_through(functools.partial(links.links_to, ids=gone))
        if not found:
            return
        if unlinked := list(self._unlinked({task_id for _, task_id, _ in found}, gone)):
            await self._commits.submit(unlinked)
        await self._catalogue.remove(deletion.Removal(links=found))

    async def _remove_events(self, seqs: Sequence[int]) -> None:
        """Removes events with these numbers, once nobody is told of them any more."""
        ids = await self._catalogue.read(functools.partial(links.event_ids, seqs=seqs))
        await self._deliveries.forget(ids)
        await self._catalogue.remove(deletion.Removal(events=list(seqs)))

    def _unlinked(self, holders: Collection[str], gone: Collection[str]) -> Iterator[Event]:
        for task_id in holders:
            if (task := self._commits.state.tasks.get(task_id)) is not None:
                retries = tuple(NO_TASK if each in gone else each for each in task.retry_for_task_ids)
                replay_of = task.extras.replay_of_task_id if task.extras else None
                yield Unlinked(task_id, retries, NO_TASK if replay_of in gone else replay_of)

    def _free_unique_keys(self, seqs: Sequence[int]) -> list[Event]:
        return [UniqueKeysErased(tuple(seqs))] if self._commits.state.unique.kept_of(seqs) else []

    async def _blank_keys(self, seqs: Sequence[int]) -> list[Event]:
        """Has idempotency keys forget what their request was, and still know that it was made."""
        used = list(self._commits.state.used_keys.values())
        found: list[UsedKey] = []
        for begin in range(0, len(used), _KEYS_AT_ONCE):
            found += (key for key in used[begin : begin + _KEYS_AT_ONCE] if _has_any(key, seqs))
            await asyncio.sleep(0)
        return [KeysUsed(tuple(replace(key, fingerprint=b"") for key in found), EVERY_KEY_KEPT)] if found else []

    async def _purge(self) -> None:
        await self._seal()
        try:
            await self._compact()
            await self._catalogue.write_anew()
            await asyncio.to_thread(remove_set_aside, self._data)
        except SyncFailedError as error:
            self._on_fatal(error)
            raise StoreUnavailableError(str(error)) from error
        except (OSError, StoreError) as error:
            raise StoreUnavailableError(f"Files cannot be written anew now ({error}); try again later.") from error

    async def _compact(self) -> None:
        sealed_below = self._journal.sealed_below
        await self._compactor.compact()
        live, _ = await asyncio.to_thread(segments, self._data / "journal")
        if any(each.header.kind is Kind.LOG and each.header.first_sequence <= sealed_below for each in live):
            raise StoreUnavailableError("The journal cannot be compacted now; try again later.")

    async def _seal(self) -> None:
        """Ends the segment that is written to: what stands in it goes with the compaction."""
        self._commits.require_writable()
        before = self._journal.sealed_below
        self._journal.seal()
        for _ in range(2):  # when the second frame is safe, all is done that came after the first
            await self._commits.submit([IdTaken(self._new_id())])
        if self._journal.sealed_below == before:
            raise StoreUnavailableError("The journal's segment cannot be ended now; try again later.")


def _has_any(key: UsedKey, seqs: Sequence[int]) -> bool:
    """Whether the key is of a task with one of these numbers, which are in order."""
    place = bisect_left(seqs, key.first_seq)
    return place < len(seqs) and seqs[place] < key.first_seq + key.count
