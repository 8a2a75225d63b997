"""The catalogue as the event loop sees it: hand over changes, wait until they can be read, read."""

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from taskd.model import limits
from taskd.model.api_request import ApiRequest
from taskd.model.errors import ContractError
from taskd.model.event import Event
from taskd.model.logline import LogLine
from taskd.model.task import Task
from taskd.rql.query import Path as RqlPath
from taskd.store.base import StoreUnavailableError
from taskd.store.embedded.catalogue.deletion import Removal
from taskd.store.embedded.catalogue.reader import CatalogueReader
from taskd.store.embedded.catalogue.schema import is_damage, open_catalogue, set_aside
from taskd.store.embedded.catalogue.sql.lookups import IndexedValues
from taskd.store.embedded.catalogue.writer import CatalogueWriter
from taskd.store.embedded.webhook_state import Projected

T = TypeVar("T")
READERS = 2
"""Listings at once: more would take the interpreter from the event loop for longer than they are worth."""
SCANS = 1
"""Listings at once, besides, that look at everything there is: each keeps a processor busy for as long as it takes."""
DATA_READERS = 1
"""For the data of tasks that start now: no listing may hold these up."""
SCANS_NICENESS = 10
"""Enough to let the event loop go first; but nice threads, too, hold the interpreter's lock now and then."""


class Catalogue:
    """One catalogue file. For one event loop, except that recovery may use :attr:`writer` in a thread before it."""

    def __init__(
        self,
        path: Path,
        now_ms: int,
        time_limit_s: float,
        on_fatal: Callable[[BaseException], None],
        *,
        api_requests_kept: int = limits.API_REQUESTS_KEPT,
        deliveries_kept: int = limits.DELIVERIES_KEPT,
        indexes: Iterable[RqlPath] = (),
        gives_back_space: bool = False,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_fatal = on_fatal
        self._path = path
        self._label = str(now_ms)
        self._time_limit_s = time_limit_s
        self._progress = asyncio.Event()
        """Set for a moment whenever the writer has got further, or has failed to."""
        self._done_ticket = 0
        self.writer = CatalogueWriter(
            open_catalogue(path, now_ms, gives_back_space=gives_back_space),
            self._progressed,
            self._failed,
            api_requests_kept,
            indexes,
        )
        self.writer.deliveries_kept = deliveries_kept
        self._reader = CatalogueReader(path, time_limit_s, READERS)
        self._scanner = CatalogueReader(path, time_limit_s, SCANS, niceness=SCANS_NICENESS)
        self._data_reader = CatalogueReader(path, time_limit_s, DATA_READERS)
        self.writer.start()

    @property
    def congested(self) -> bool:
        """Whether so much waits to be written that no more work should be begun."""
        return self.writer.congested

    @property
    def failing(self) -> sqlite3.Error | None:
        """Why nothing can be written now, if so."""
        return self.writer.failing

    @property
    def value_indexes(self) -> IndexedValues:
        """The indexes on what is inside of JSON."""
        return self.writer.value_indexes

    @property
    def indexing(self) -> str | None:
        """Which fields are not indexed yet, for people; ``None`` when all are."""
        return self.writer.value_indexes.progress

    def put(
        self,
        position: int,
        added: Sequence[Task],
        changed: Sequence[Task],
        deleted: Sequence[int] = (),
        published: Sequence[Event] = (),
    ) -> None:
        """Takes in the journal's frame at ``position``."""
        self.writer.put(position, added, changed, deleted, published)

    def forget_events(self, before_ms: int, limit: int) -> None:
        """Lets go of the oldest ``limit`` of the events that are older than that."""
        self.writer.forget_events(before_ms, limit)

    async def remove(self, removal: Removal) -> None:
        """Returns when that is gone; the journal does not know of it."""
        self.writer.remove(removal)
        await self.caught_up()

    async def write_anew(self) -> None:
        """Returns when nothing of what was removed is in the files any more.

        :raises StoreUnavailableError: it cannot be done now, for lack of space or since somebody still reads.
        """
        self.writer.rewrite()
        await self.caught_up()
        if (failure := self.writer.rewrite_failure) is not None:
            raise StoreUnavailableError(f"The catalogue cannot be written anew now ({failure}); try again later.")

    async def look_through(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What ``work`` gives on a connection that may not see the newest, and takes turns with listings that scan."""
        try:
            return await self._scanner.read(work)
        except sqlite3.Error as error:
            if is_damage(error):
                self._fail(error)
            raise

    def put_logs(self, logs: Sequence[tuple[str, Sequence[LogLine]]]) -> None:
        """Takes in log lines, by task id."""
        self.writer.put_logs(logs)

    def replace_logs(self, task_id: str, lines: Sequence[LogLine]) -> None:
        """Takes in log lines in place of all that were put for this id before."""
        self.writer.replace_logs(task_id, lines)

    def put_deliveries(self, projected: Projected) -> None:
        """Takes in what has changed of deliveries."""
        self.writer.put_deliveries(projected)

    def put_api_request(self, request: ApiRequest, lines: Sequence[LogLine]) -> None:
        """Takes in an API request with its log lines."""
        self.writer.put_api_request(request, lines)

    async def read(
        self, work: Callable[[sqlite3.Connection], T], *, scans: bool = False, on_behalf_of: str | None = None
    ) -> T:
        """What ``work`` gives on a connection that sees everything put before this call.

        One that ``scans`` waits among its like and holds up nothing else. There, those ``on_behalf_of`` a caller share
        its turns.

        :raises StoreUnavailableError: what was put cannot be written, or not within the time that a listing may take.
        """
        if self.writer.ticket > self._done_ticket:
            await self._in_time(self.caught_up())
        try:
            return await (self._scanner.read(work, on_behalf_of) if scans else self._reader.read(work))
        except sqlite3.Error as error:
            if is_damage(error):
                self._fail(error)
            raise

    def unwritten_data(self, seqs: Iterable[int]) -> dict[int, bytes]:
        """The data of those tasks that were put and are not written yet; :meth:`read_data` sees that of all others."""
        return self.writer.unwritten_data(seqs)

    async def read_data(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What ``work`` gives on a connection of its own, without waiting for what is not written yet.

        :raises StoreUnavailableError: it cannot be read now.
        """
        try:
            return await self._data_reader.read(work)
        except sqlite3.Error as error:
            if is_damage(error):
                self._fail(error)
            raise StoreUnavailableError(f"The catalogue cannot be read now ({error}); try again later.") from error
        except ContractError as error:
            raise StoreUnavailableError("The catalogue cannot be read in time now; try again later.") from error

    def require_capacity(self) -> None:
        """Raises ``StoreUnavailableError`` while more waits to be written than may."""
        if self.congested:
            raise self._unavailable()

    async def wait_for_capacity(self) -> None:
        """Returns when no more waits to be written than may.

        :raises StoreUnavailableError: nothing can be written, or too little within the time that a listing may take.
        """
        if self.congested:
            await self._in_time(self._less_waits())

    async def _less_waits(self) -> None:
        while self.congested and self.failing is None:
            await self._progress.wait()
        if self.failing is not None:
            raise self._unavailable()

    async def _in_time(self, waiting: Coroutine[Any, Any, None]) -> None:
        try:
            async with asyncio.timeout(0 if self.failing is not None else self._time_limit_s):
                await waiting
        except TimeoutError:
            raise self._unavailable() from None

    def _unavailable(self) -> StoreUnavailableError:
        reason = self.failing or "it is far behind"
        return StoreUnavailableError(f"The catalogue cannot be written now ({reason}); try again later.")

    async def caught_up(self) -> None:
        """Returns when everything put before this call can be read."""
        ticket = self.writer.ticket
        while self._done_ticket < ticket:
            self.writer.flush_soon()
            await self._progress.wait()

    async def make_durable(self) -> int:
        """Makes everything put before this call safe against a power cut; gives the position that is safe then."""
        self.writer.make_durable()
        await self.caught_up()
        return self.writer.durable_position

    async def close(self) -> None:
        """Writes what is queued and closes the file. Idempotent.

        The writer's connection goes last: only then does SQLite fold its write-ahead log into the file.
        """
        self._reader.close()
        self._scanner.close()
        self._data_reader.close()
        await asyncio.to_thread(self.writer.close)

    def _progressed(self, ticket: int) -> None:
        self._loop.call_soon_threadsafe(self._wake, ticket)

    def _failed(self, error: BaseException) -> None:
        self._loop.call_soon_threadsafe(self._fail, error)

    def _fail(self, error: BaseException) -> None:
        """Gives up. A damaged file is moved away first, so that the next start builds a new one."""
        try:
            if isinstance(error, sqlite3.Error) and is_damage(error) and self._path.exists():
                set_aside(self._path, self._label, error)
        finally:
            self._on_fatal(error)

    def _wake(self, ticket: int) -> None:
        self._done_ticket = ticket
        self._progress.set()
        self._progress.clear()
