"""The verbs of operations in bulk: added with what matches, advanced turn by turn, aborted, found, forgotten."""

import asyncio
import functools
import sqlite3
from collections.abc import Awaitable, Callable, Mapping

from msgspec.structs import replace

from taskd.model import operation as rules
from taskd.model.clock import Clock
from taskd.model.errors import RESOURCE_UNKNOWN, ContractError
from taskd.model.operation import Objection, Operation, OperationAction, OperationDraft
from taskd.rql.query import Node, Query
from taskd.store.base import Page, StoreUnavailableError
from taskd.store.embedded import events
from taskd.store.embedded.catalogue import operation_listing
from taskd.store.embedded.catalogue.catalogue import Catalogue
from taskd.store.embedded.catalogue.listing import prepared
from taskd.store.embedded.catalogue.matches import Matching
from taskd.store.embedded.commit import CommitLog
from taskd.store.embedded.match_files import MatchesLostError, MatchFiles
from taskd.store.embedded.operation_actions import Action
from taskd.store.embedded.serial import SerialChanges
from taskd.store.embedded.unique_gate import UniqueGate
from taskd.system.files import SyncFailedError


class Operations:
    """The operations of one store. They change one after the other: an event always fits what came before it."""

    def __init__(
        self,
        commits: CommitLog,
        catalogue: Catalogue,
        clock: Clock,
        *,
        new_id: Callable[[], str],
        gate: UniqueGate,
        files: MatchFiles,
        actions: Mapping[OperationAction, Action],
        purge: Callable[[], Awaitable[None]],
        on_fatal: Callable[[BaseException], None],
    ) -> None:
        """``purge`` has files forget what was erased; ``on_fatal`` is told when nobody knows what is on the disk."""
        self._commits = commits
        self._catalogue = catalogue
        self._clock = clock
        self._new_id = new_id
        self._gate = gate
        self._files = files
        self._actions = actions
        self._purge = purge
        self._on_fatal = on_fatal
        self._changes = SerialChanges("operations")
        self._wait_reasons: dict[str, str] = {}
        """Why operations cannot go on now, by their ids."""

    async def add(self, draft: OperationDraft, where: Node, on_behalf_of: str | None) -> Operation:
        """See ``OperationRecords.add_operation``."""
        if (before := self._made_before(draft)) is not None:
            return before
        rules.require_room(self._kept.values())
        self._commits.require_writable()
        operation_id = self._new_id()
        matched = await self._gather(operation_id, where, on_behalf_of)
        return await self._changes.run(functools.partial(self._add, draft, operation_id, matched))

    async def advance(self, limit: int, objection: Objection) -> list[Operation]:
        """See ``OperationRecords.advance_operations``."""
        return await self._changes.run(functools.partial(self._advance_all, limit, objection))

    async def abort(self, operation_id: str) -> Operation:
        """See ``OperationRecords.abort_operation``."""
        return await self._changes.run(functools.partial(self._abort, operation_id))

    def get(self, operation_id: str) -> Operation:
        """See ``OperationRecords.operation``."""
        found = self._kept.get(operation_id)
        if found is None:
            raise ContractError(RESOURCE_UNKNOWN, f"There is no operation with the id {operation_id}, or no more.")
        return self._shown(found)

    async def find(self, query: Query) -> Page[Operation]:
        """See ``OperationRecords.find_operations``."""
        candidates = [self._shown(operation) for operation in self._kept.values()]
        return await self._catalogue.read(
            await prepared(functools.partial(operation_listing.page, query, candidates), query)
        )

    def next_ms(self) -> int | None:
        """See ``OperationRecords.next_operation_ms``."""
        now_ms = self._clock()
        return min(
            (operation.due_ms(now_ms) for operation in self._kept.values() if operation.is_running), default=None
        )

    @property
    def _kept(self) -> dict[str, Operation]:
        return self._commits.state.operations

    def _shown(self, operation: Operation) -> Operation:
        reason = self._wait_reasons.get(operation.id)
        return operation if reason is None else replace(operation, wait_reason=reason)

    def _made_before(self, draft: OperationDraft) -> Operation | None:
        if draft.key is None:
            return None
        return rules.made_before(draft.key, self._kept.values(), self._clock())

    async def _gather(self, operation_id: str, where: Node, on_behalf_of: str | None) -> int:
        """Writes down what matches; gives how much that is. It is all of one moment: that of the reader's view."""
        matching = await prepared(functools.partial(Matching, where), Query(where))

        def write(connection: sqlite3.Connection) -> int:
            return self._files.write(operation_id, matching(connection))

        try:
            return await self._catalogue.read(write, scans=matching.scans, on_behalf_of=on_behalf_of)
        except OSError as error:
            raise StoreUnavailableError(f"What matches cannot be written down now ({error.strerror}).") from error
        except SyncFailedError as error:
            self._on_fatal(error)
            raise StoreUnavailableError(str(error)) from error
        except BaseException:  # a caller that has gone, while the list was written to its end
            await asyncio.shield(asyncio.to_thread(self._files.remove, operation_id))
            raise

    async def _add(self, draft: OperationDraft, operation_id: str, matched: int) -> Operation:
        try:
            if (before := self._made_before(draft)) is not None:
                await asyncio.to_thread(self._files.remove, operation_id)
                return before
            rules.require_room(self._kept.values())
            operation = rules.create(draft, operation_id, matched, self._clock())
            await self._commits.submit([events.OperationPut(operation), *self._forgotten()])
        except ContractError:
            await asyncio.to_thread(self._files.remove, operation_id)
            raise
        return operation

    def _forgotten(self) -> list[events.Event]:
        gone = rules.forgotten(self._kept.values(), self._clock())
        return [events.OperationRemoved(operation.id) for operation in gone]

    async def _advance_all(self, limit: int, objection: Objection) -> list[Operation]:
        now_ms = self._clock()
        due = [operation for operation in self._kept.values() if operation.is_due(now_ms)]
        moved = [operation for operation in due if await self._advance(operation, limit, objection)]
        return [self.get(operation.id) for operation in moved]

    async def _advance(self, operation: Operation, limit: int, objection: Objection) -> bool:
        """Whether the operation has moved on, or ended."""
        try:
            if (reason := objection(operation)) is not None:
                await self._end(rules.fail(operation, self._clock(), reason))
            elif operation.is_to_purge:
                await self._purge_all(operation)
            else:
                await self._take_turn(operation, limit)
        except ContractError as error:
            self._wait_reasons[operation.id] = error.message
            return False
        self._wait_reasons.pop(operation.id, None)
        return True

    async def _take_turn(self, operation: Operation, limit: int) -> None:
        try:
            seqs = await self._next_matches(operation, min(limit, operation.turn))
        except MatchesLostError as error:
            reason = f"{error} What was done stays; make another operation for the rest."
            await self._end(rules.fail(operation, self._clock(), reason))
            return
        turn = await self._actions[operation.action].turn(operation, seqs)
        advanced = events.OperationAdvanced(operation.id, self._clock(), turn.done, turn.skipped)
        done = self._commits.submit([*turn.events, advanced], turn.reserve, undo=turn.undo)
        self._gate.hold(turn.slots, done)
        await done
        if not self._kept[operation.id].is_running:
            await asyncio.to_thread(self._files.remove, operation.id)

    async def _purge_all(self, operation: Operation) -> None:
        """Ends an erasure. The filter goes first, or the files would still have that."""
        await self._commits.submit([events.OperationPut(rules.without_filter(operation))])
        await asyncio.to_thread(self._files.remove, operation.id)
        try:
            await self._purge()
        except sqlite3.Error as error:
            raise StoreUnavailableError(f"The catalogue cannot be written anew now ({error}).") from error
        await self._end(rules.purged(self._kept[operation.id], self._clock()))

    async def _next_matches(self, operation: Operation, count: int) -> list[int]:
        try:
            return await asyncio.to_thread(self._files.read, operation.id, operation.position, count)
        except OSError as error:
            raise StoreUnavailableError(f"Its list of tasks cannot be read now ({error.strerror}).") from error

    async def _abort(self, operation_id: str) -> Operation:
        self.get(operation_id)
        aborted = rules.abort(self._kept[operation_id], self._clock())
        self._commits.require_writable()
        await self._end(aborted)
        return aborted

    async def _end(self, ended: Operation) -> None:
        await self._commits.submit([events.OperationPut(ended)])
        self._wait_reasons.pop(ended.id, None)
        await asyncio.to_thread(self._files.remove, ended.id)
