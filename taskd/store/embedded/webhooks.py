"""The verbs of webhooks: added, changed, removed, found."""

import functools
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from taskd.model import webhook as rules
from taskd.model.clock import Clock
from taskd.model.errors import RESOURCE_UNKNOWN, ContractError
from taskd.model.webhook import Webhook, WebhookDraft
from taskd.rql.query import Query
from taskd.store.base import Page, WebhookChange
from taskd.store.embedded import events
from taskd.store.embedded.catalogue.catalogue import Catalogue
from taskd.store.embedded.catalogue.listing import prepared
from taskd.store.embedded.catalogue.webhook_listing import WEBHOOKS
from taskd.store.embedded.commit import CommitLog
from taskd.store.embedded.serial import SerialChanges

T = TypeVar("T")


class Webhooks:
    """The webhooks of one store. They, and what waits for them, change one after the other."""

    def __init__(
        self,
        commits: CommitLog,
        catalogue: Catalogue,
        clock: Clock,
        new_id: Callable[[], str],
        wait_for_capacity: Callable[[], Awaitable[None]],
    ) -> None:
        """``wait_for_capacity`` waits until more may be created, or raises ``StoreUnavailableError``."""
        self._commits = commits
        self._catalogue = catalogue
        self._clock = clock
        self._new_id = new_id
        self._wait_for_capacity = wait_for_capacity
        self._changes = SerialChanges("webhooks")

    async def in_turn(self, change: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What ``change`` gives, while no webhook changes."""
        return await self._changes.run(change)

    async def add(self, draft: WebhookDraft) -> Webhook:
        """See ``WebhookRegistry.add_webhook``."""
        return await self.in_turn(functools.partial(self._add, draft))

    async def remove(self, webhook_id: str) -> None:
        """See ``WebhookRegistry.remove_webhook``."""
        await self.in_turn(functools.partial(self._remove, webhook_id))

    async def change(self, webhook_id: str, change: WebhookChange) -> Webhook:
        """See ``WebhookRegistry.change_webhook``."""
        return await self.in_turn(functools.partial(self._change, webhook_id, change))

    def get(self, webhook_id: str) -> Webhook:
        """See ``WebhookRegistry.webhook``."""
        found = self._commits.state.webhooks.webhooks.get(webhook_id)
        if found is None:
            raise ContractError(RESOURCE_UNKNOWN, f"There is no webhook with the id {webhook_id}.")
        return found

    async def find(self, query: Query) -> Page[Webhook]:
        """See ``WebhookRegistry.find_webhooks``."""
        candidates = list(self._commits.state.webhooks.webhooks.values())
        return await self._catalogue.read(await prepared(functools.partial(WEBHOOKS.page, query, candidates), query))

    async def _add(self, draft: WebhookDraft) -> Webhook:
        rules.require_room(list(self._commits.state.webhooks.webhooks.values()))
        await self._wait_for_capacity()
        webhook = rules.create(draft, self._new_id(), self._clock())
        await self._commits.submit([events.WebhookPut(webhook)])
        return webhook

    async def _remove(self, webhook_id: str) -> None:
        self.get(webhook_id)
        self._commits.require_writable()
        await self._commits.submit([events.WebhookRemoved(webhook_id)])

    async def _change(self, webhook_id: str, change: WebhookChange) -> Webhook:
        webhook = self.get(webhook_id)
        changed = change(webhook)
        if changed != webhook:
            self._commits.require_writable()
            await self._commits.submit([events.WebhookPut(changed)])
        return changed
