"""Reading back the data of waiting tasks that is not in memory: before they start, and for whoever looks at them.

What the catalogue has not written yet it still holds. All else is read in a thread, and checked against what memory
knows of it. Where the catalogue has lost or damaged it, the journal is searched from its beginning: that has all that
waits. That data is lost in both is told of; that it cannot be read now is another matter.
"""

import asyncio
import errno
import functools
import logging
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from taskd.model.task import ErrorType, Task, TaskError
from taskd.store.base import StoreUnavailableError
from taskd.store.embedded.catalogue import queries
from taskd.store.embedded.catalogue.catalogue import Catalogue
from taskd.store.embedded.errors import JournalDamagedError
from taskd.store.embedded.events import data_in, decode_events
from taskd.store.embedded.gil_pacing import GilPacer
from taskd.store.embedded.journal.directory import segments
from taskd.store.embedded.journal.replay import Replay
from taskd.store.embedded.live_tasks import LiveTasks
from taskd.store.embedded.stored_data import StoredData, stored_data, with_data

log = logging.getLogger(__name__)

DATA_LOST = TaskError(
    ErrorType.INVOCATION, "TASK_DATA_LOST", "The task's data was damaged on the disk, so it was not run."
)
"""The end of a task that cannot be run as it was asked for."""


class LargeData:
    """The data of ``tasks`` that is in ``catalogue``, and in the segments in ``journal``."""

    def __init__(self, tasks: LiveTasks, catalogue: Catalogue, journal: Path) -> None:
        self._tasks = tasks
        self._catalogue = catalogue
        self._journal = journal

    async def load(self, tasks: Sequence[Task]) -> list[Task]:
        """Puts the data of live tasks into memory, and gives them with it; leaves out those whose data is lost.

        Nothing else may change them meanwhile.

        :raises StoreUnavailableError: it cannot be read now; nothing has changed.
        """
        found = await self.data_of_all(tasks)
        whole = [with_data(task, found[task.seq]) if task.seq in found else task for task in tasks]
        loaded = [task for task in whole if stored_data(task) is None]
        self._tasks.put(loaded)
        return loaded

    async def data_of(self, task: Task) -> bytes | None:
        """The data of ``task``, for somebody to look at; ``None`` if it is lost.

        :raises StoreUnavailableError: it cannot be read now.
        """
        stored = stored_data(task)
        return task.data if stored is None else (await self._read({task.seq: stored})).get(task.seq)

    async def data_of_all(self, tasks: Sequence[Task]) -> dict[int, bytes]:
        """The data of those ``tasks`` that have it elsewhere, by their numbers, without what is lost.

        :raises StoreUnavailableError: it cannot be read now.
        """
        wanted = {task.seq: stored for task in tasks if (stored := stored_data(task)) is not None}
        return await self._read(wanted) if wanted else {}

    async def _read(self, wanted: dict[int, StoredData]) -> dict[int, bytes]:
        """Data by the numbers of tasks, without what is not as it was."""
        unwritten = self._catalogue.unwritten_data(wanted)
        found = {seq: data for seq, data in unwritten.items() if wanted[seq].is_of(data)}  # it may have been replaced
        rest = {seq: stored for seq, stored in wanted.items() if seq not in found}
        if rest:
            found |= await self._catalogue.read_data(functools.partial(_checked, rest))
            rest = {seq: stored for seq, stored in rest.items() if seq not in found}
        if rest:
            found |= await asyncio.to_thread(_from_journal, self._journal, rest)
        return found


def _checked(wanted: dict[int, StoredData], connection: sqlite3.Connection) -> dict[int, bytes]:
    """What is written down of the data ``wanted``, as far as it is what was stored."""
    found = queries.data_of_tasks(connection, list(wanted))
    for seq, stored in wanted.items():
        if seq not in found or not stored.is_of(found[seq]):
            log.error("The catalogue has lost or damaged data of task number %d; the journal is searched for it.", seq)
            found.pop(seq, None)
    return found


def _from_journal(journal: Path, wanted: dict[int, StoredData]) -> dict[int, bytes]:
    """What the journal has of the data ``wanted``.

    :raises StoreUnavailableError: it cannot be read to its end, as while it is being compacted.
    """
    try:
        live, _ = segments(journal)
        if not live:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(journal))
        return _found_in(Replay(live), wanted)
    except (OSError, JournalDamagedError) as error:
        raise StoreUnavailableError(f"The journal cannot be read now ({error}); try again later.") from error


def _found_in(replay: Replay, wanted: dict[int, StoredData]) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    pace = GilPacer()
    for _, payload in replay:
        for event in decode_events(payload):
            found |= {seq: data for seq, data in data_in(event) if seq in wanted and wanted[seq].is_of(data)}
        if len(found) == len(wanted):
            break
        pace()
    return found


def up_to_bytes(tasks: Sequence[Task], most_bytes: int) -> Iterator[Task]:
    """The first of ``tasks``, one at least, whose data elsewhere is no more than that."""
    size_bytes = 0
    for task in tasks:
        stored = stored_data(task)
        size_bytes += 0 if stored is None else stored.size_bytes
        if size_bytes > most_bytes and task is not tasks[0]:
            return
        yield task
