"""The audit trail of one data directory: entries are durable before what they tell of is done.

The first line of an entry is synced, then the action happens, then a second line says what became of it. A process that
is killed in between leaves an entry whose outcome is unknown; none leaves an action without an entry. Nothing is
changed or removed, but whole months (or, past a size, parts of them) that are old. There is no chain of hashes: whoever
may write to the directory can also forge the trail.
"""

import asyncio
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from taskd.audit.entry import Entry, Outcome
from taskd.audit.files import TrailFiles, month_of
from taskd.audit.settings import AuditSettings
from taskd.model import errors
from taskd.model.clock import Clock, system_clock_ms
from taskd.model.errors import ContractError, TaskdError
from taskd.model.limits import MIB
from taskd.model.objectid import ObjectIdFactory

log = logging.getLogger(__name__)

DIRECTORY = "audit"
"""In the data directory."""
_DAY_MS = 86_400_000


class AuditError(TaskdError):
    """An entry cannot be kept, so what it tells of was not done; the message says why."""


class Begun(NamedTuple):
    """An entry whose outcome is not known yet, and the part that it is in."""

    entry: Entry
    part: str


class AuditTrail:
    """The trail in the data directory ``data``."""

    def __init__(self, data: Path, settings: AuditSettings | None = None, clock: Clock = system_clock_ms) -> None:
        self._settings = settings or AuditSettings()
        self._clock = clock
        self._new_id = ObjectIdFactory(clock)
        self.files = TrailFiles(data / DIRECTORY)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="audit")
        self._waiting: list[tuple[Entry, asyncio.Future[str]]] = []
        self._flushing: asyncio.Task[None] | None = None
        self._pruned_month = ""

    def close(self) -> None:
        """Ends the thread, once it is done."""
        self._thread.shutdown()

    @contextmanager
    def recording(self, entry: Entry) -> Iterator[Entry]:
        """Meanwhile what ``entry`` tells of is done; what it raises is the outcome. For commands: it blocks.

        What is given back may get more detail, or a subject that is known only then.

        :raises AuditError: the entry cannot be kept, and nothing was done.
        """
        begun = self.begin_now(entry)
        try:
            yield begun.entry
        except BaseException as error:
            self.end_now(begun, failed(error))
            raise
        self.end_now(begun, "")

    def begin_now(self, entry: Entry) -> Begun:
        """See :meth:`begin`; blocks."""
        entry = self._stamped(entry)
        try:
            return Begun(entry, self.files.append(_line(entry), entry.at_ms))
        except (OSError, TaskdError) as error:
            raise AuditError(f"Nothing was done, since {self.files.directory} cannot be written: {error}.") from error

    async def begin(self, entry: Entry) -> Begun:
        """Keeps ``entry``, under a new id and with the time; it is durable on return, its outcome unknown.

        :raises ContractError: ``UNAVAILABLE`` if it cannot be kept.
        """
        entry = self._stamped(entry)
        kept: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, kept))
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush())
        try:
            return Begun(entry, await kept)
        except (OSError, TaskdError) as error:
            log.error("Nothing is done that must be recorded: %s cannot be written: %s", self.files.directory, error)
            message = "This is not done, since the audit trail cannot be written now; the log says why."
            raise ContractError(errors.UNAVAILABLE, message) from None

    async def end(self, begun: Begun, error: str = "") -> None:
        """Keeps what became of it: it is done, or has failed with the error of this name. Outlives the process."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self.end_now, begun, error)

    async def record(self, entry: Entry) -> None:
        """Keeps an entry of what is done already, or as good as: an answer that has yet to leave.

        :raises ContractError: ``UNAVAILABLE`` if it cannot be kept.
        """
        entry.outcome = Outcome.DONE.value
        await self.begin(entry)

    def _stamped(self, entry: Entry) -> Entry:
        return replace(entry, id=self._new_id(), at_ms=self._clock())

    async def _flush(self) -> None:
        """One append for all that wait: while it is synced the next ones gather."""
        while self._waiting:
            batch, self._waiting = self._waiting, []
            lines, at_ms = b"".join(_line(entry) for entry, _ in batch), batch[0][0].at_ms
            try:
                part = await asyncio.get_running_loop().run_in_executor(self._thread, self._append, lines, at_ms)
            except (OSError, TaskdError) as error:
                for _, kept in batch:
                    if not kept.done():
                        kept.set_exception(error)
                continue
            for _, kept in batch:
                if not kept.done():
                    kept.set_result(part)

    def _append(self, lines: bytes, at_ms: int) -> str:
        if month_of(at_ms) != self._pruned_month or not self._is_small():
            self.prune()
            self._pruned_month = month_of(at_ms)
        return self.files.append(lines, at_ms)

    def end_now(self, begun: Begun, error: str) -> None:
        """See :meth:`end`; blocks."""
        outcome = Outcome.FAILED if error else Outcome.DONE
        said = Entry(
            begun.entry.id,
            outcome=outcome.value,
            error=error,
            subject_id=begun.entry.subject_id,
            detail=begun.entry.detail,
        )
        try:
            self.files.add_to(begun.part, _line(said))
        except (OSError, TaskdError) as problem:
            log.error("The audit trail lacks that %s %s is %s: %s", said.id, begun.entry.action, outcome, problem)

    def prune(self) -> None:
        """Removes months that are older than they are kept for, and the oldest parts of a trail that is too large."""
        oldest_kept = month_of(max(0, self._clock() - self._settings.keep_days * _DAY_MS))
        parts = self.files.parts()
        # where even the newest is that old, the clock may have been set far ahead
        if parts and parts[-1].name >= oldest_kept:
            for part in [part for part in parts if part.name < oldest_kept]:
                self.files.remove(part)
                parts.remove(part)
        sizes = [part.stat().st_size for part in parts]
        while len(parts) > 1 and sum(sizes) > self._settings.max_mib * MIB:
            log.error("The audit trail is over %d MiB, so its part %s goes.", self._settings.max_mib, parts[0].name)
            self.files.remove(parts.pop(0))
            sizes.pop(0)

    def _is_small(self) -> bool:
        return sum(part.stat().st_size for part in self.files.parts()) <= self._settings.max_mib * MIB


def failed(error: BaseException) -> str:
    """The name of an error, as entries have it."""
    return error.kind.name if isinstance(error, ContractError) else type(error).__name__


def _line(entry: Entry) -> bytes:
    return msgspec.json.encode(entry) + b"\n"
