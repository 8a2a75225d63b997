"""The verbs of dispatchers: added, changed, removed, found."""

import functools
from collections.abc import Awaitable, Callable, Iterator

from msgspec.structs import replace

from taskd.model import dispatcher as rules
from taskd.model.clock import Clock
from taskd.model.dispatcher import Dispatcher, DispatcherDraft
from taskd.model.errors import RESOURCE_UNKNOWN, ContractError
from taskd.rql.query import Query
from taskd.store.base import DispatcherChange, Page
from taskd.store.embedded import events
from taskd.store.embedded.catalogue.catalogue import Catalogue
from taskd.store.embedded.catalogue.event_listings import DISPATCHER_RECORDS
from taskd.store.embedded.catalogue.listing import prepared
from taskd.store.embedded.commit import CommitLog
from taskd.store.embedded.serial import SerialChanges


class Dispatchers:
    """The dispatchers of one store. They change one after the other: an event always fits what came before it."""

    def __init__(
        self,
        commits: CommitLog,
        catalogue: Catalogue,
        clock: Clock,
        *,
        new_id: Callable[[], str],
        wait_for_capacity: Callable[[], Awaitable[None]],
    ) -> None:
        """``wait_for_capacity`` waits until more may be created, or raises ``StoreUnavailableError``."""
        self._commits = commits
        self._catalogue = catalogue
        self._clock = clock
        self._new_id = new_id
        self._wait_for_capacity = wait_for_capacity
        self._changes = SerialChanges("dispatchers")

    async def add(self, draft: DispatcherDraft) -> Dispatcher:
        """See ``DispatcherRegistry.add_dispatcher``."""
        return await self._changes.run(functools.partial(self._add, draft))

    async def change(self, dispatcher_id: str, change: DispatcherChange) -> Dispatcher:
        """See ``DispatcherRegistry.change_dispatcher``."""
        return await self._changes.run(functools.partial(self._change, dispatcher_id, change))

    async def remove(self, dispatcher_id: str) -> None:
        """See ``DispatcherRegistry.remove_dispatcher``."""
        await self._changes.run(functools.partial(self._remove, dispatcher_id))

    async def find(self, query: Query) -> Page[Dispatcher]:
        """See ``DispatcherRegistry.find_dispatchers``."""
        kept = list(self._all.values())
        return await self._catalogue.read(
            await prepared(functools.partial(DISPATCHER_RECORDS.page, query, kept), query)
        )

    @property
    def _all(self) -> dict[str, Dispatcher]:
        return self._commits.state.events.dispatchers

    async def _add(self, draft: DispatcherDraft) -> Dispatcher:
        await self._wait_for_capacity()
        dispatcher = rules.create(draft, self._ids(), self._clock())
        return await self._put(dispatcher)

    async def _change(self, dispatcher_id: str, change: DispatcherChange) -> Dispatcher:
        await self._wait_for_capacity()
        changed = change(self._get(dispatcher_id))
        actions = tuple(action if action.id else replace(action, id=self._new_id()) for action in changed.actions)
        return await self._put(replace(changed, actions=actions))

    async def _put(self, dispatcher: Dispatcher) -> Dispatcher:
        rules.require_fit(dispatcher, [other for other in self._all.values() if other.id != dispatcher.id])
        await self._commits.submit([events.DispatcherPut(dispatcher)])
        return dispatcher

    async def _remove(self, dispatcher_id: str) -> None:
        self._get(dispatcher_id)
        self._commits.require_writable()
        await self._commits.submit([events.DispatcherRemoved(dispatcher_id)])

    def _get(self, dispatcher_id: str) -> Dispatcher:
        found = self._all.get(dispatcher_id)
        if found is None:
            raise ContractError(RESOURCE_UNKNOWN, f"There is no dispatcher with the id {dispatcher_id}.")
        return found

    def _ids(self) -> Iterator[str]:
        while True:
            yield self._new_id()
