"""The webhooks resource: whom to tell of what happens."""

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from aiohttp import web
from msgspec.structs import replace

from taskd.api.http.auditing import Audited, note
from taskd.api.http.authorization import caller_of, require
from taskd.api.http.json_response import json_response
from taskd.api.http.pages import Pages, RecordPage
from taskd.api.http.request_body import read_body, read_optional_body
from taskd.api.http.request_parts import object_id, query_of
from taskd.api.http.routing import Route
from taskd.api.validation.webhook_body import (
    RotationBody,
    WebhookBody,
    WebhookUpdateBody,
    changed_fields,
    decode_webhook,
    decode_webhook_update,
    rotation_of,
    updated_webhook,
    webhook_draft,
)
from taskd.audit.entry import Action
from taskd.model import errors
from taskd.model import webhook as rules
from taskd.model.clock import Clock
from taskd.model.permissions import Permission
from taskd.model.webhook import Webhook
from taskd.model.webhook_wire import WebhookView, WebhookWithSecretsView, webhook_view, webhook_with_secrets_view
from taskd.model.wire import AffectedRecords
from taskd.store.base import TaskStore
from taskd.webhooks.addresses import AllowedAddresses

_BODY_MAX_BYTES = 64 * 1024


class WebhookHandlers:
    """Answers everything under ``/webhooks`` but for their deliveries."""

    def __init__(self, store: TaskStore, clock: Clock, pages: Pages, allowed: AllowedAddresses) -> None:
        """Deliveries go to the addresses that are ``allowed``."""
        self._store = store
        self._clock = clock
        self._pages = pages
        self._allowed = allowed

    def routes(self) -> Iterator[Route]:
        """The routes below ``/taskd/v1``."""
        yield Route(
            *("GET", "/webhooks", self.listing, Permission.VIEW_WEBHOOKS),
            tag="Webhooks",
            summary="List webhooks",
            response=RecordPage[WebhookView],
            takes_query=True,
        )
        yield Route(
            *("POST", "/webhooks", self.create, Permission.MANAGE_WEBHOOKS),
            tag="Webhooks",
            summary="Create a webhook",
            body=WebhookBody,
            response=WebhookWithSecretsView,
            errors=(errors.INVALID_RQL, errors.ILLEGAL_STATE),
            audited=Audited(Action.WEBHOOKS_CREATE, "webhook"),
        )
        yield Route(
            *("GET", "/webhooks/{id}", self.details, Permission.VIEW_WEBHOOKS),
            tag="Webhooks",
            summary="Look at a webhook",
            response=WebhookView,
            errors=(errors.RESOURCE_UNKNOWN,),
        )
        yield Route(
            *("PUT", "/webhooks/{id}", self.update, Permission.MANAGE_WEBHOOKS),
            tag="Webhooks",
            summary="Change a webhook",
            body=WebhookUpdateBody,
            response=WebhookView,
            errors=(errors.RESOURCE_UNKNOWN, errors.INVALID_RQL),
            audited=Audited(Action.WEBHOOKS_UPDATE, "webhook", "id"),
        )
        yield Route(
            *("DELETE", "/webhooks/{id}", self.delete, Permission.MANAGE_WEBHOOKS),
            tag="Webhooks",
            summary="Delete a webhook",
            response=AffectedRecords,
            errors=(errors.RESOURCE_UNKNOWN,),
            audited=Audited(Action.WEBHOOKS_DELETE, "webhook", "id"),
        )
        yield Route(
            *("POST", "/webhooks/{id}/rotate", self.rotate, Permission.MANAGE_WEBHOOKS),
            tag="Webhooks",
            summary="Give a webhook a new secret",
            body=RotationBody,
            is_body_optional=True,
            response=WebhookWithSecretsView,
            errors=(errors.RESOURCE_UNKNOWN,),
            audited=Audited(Action.WEBHOOKS_ROTATE, "webhook", "id"),
        )

    async def listing(self, request: web.Request) -> web.StreamResponse:
        """A page of the webhooks that a query finds, without their secrets."""
        query = query_of(request)
        return await self._pages.response(request, query, await self._store.find_webhooks(query), webhook_view)

    async def create(self, request: web.Request) -> web.StreamResponse:
        """A new webhook, which is told of what happens from now on.

        One of `task.…` needs VIEW_TASKS, too, and one of other events VIEW_EVENTS.

        The answer, and no other, has the secrets that its bodies are signed with.
        """
        body = decode_webhook(await read_body(request, _BODY_MAX_BYTES))
        draft = webhook_draft(body, caller_of(request), self._allowed)
        webhook = rules.create(draft, "", self._clock())
        _require_view(request, webhook)
        note(request, host=urlsplit(draft.url).netloc, events=" ".join(draft.events))
        webhook = await self._store.add_webhook(draft)
        note(request, webhook.id)
        return json_response(webhook_with_secrets_view(webhook))

    async def details(self, request: web.Request) -> web.StreamResponse:
        """Everything about a webhook but its secrets."""
        return json_response(webhook_view(await self._store.webhook(object_id(request))))

    async def update(self, request: web.Request) -> web.StreamResponse:
        """Changes what the body names; null takes away what may be left out.

        As long as it is enabled it is told in the name of whoever changed it last. Whoever changes one of `task.…`, or
        to such, needs VIEW_TASKS, unless all that is done is to disable it.
        As long as it is enabled it is told in the name of whoever changed it last, who needs VIEW_TASKS for `task.…`
        and VIEW_EVENTS for other events.
        What waited while it was disabled is delivered once it is enabled.
        """
        body = decode_webhook_update(await read_body(request, _BODY_MAX_BYTES))
        note(request, fields=" ".join(changed_fields(body)))
        now_ms = self._clock()

        def updated(kept: Webhook) -> Webhook:
            changed = updated_webhook(kept, body, now_ms, self._allowed)
            if not changed.enabled and not rules.is_told_otherwise(kept, changed):
                return changed
            _require_view(request, kept)  # what waits for it, and what was delivered, is of tasks, too
            return self._answered_for(request, changed) if changed.enabled else changed

        return json_response(webhook_view(await self._store.change_webhook(object_id(request), updated)))

    async def delete(self, request: web.Request) -> web.StreamResponse:
        """The webhook goes, with what waits for it and what is known of its deliveries."""
        await self._store.remove_webhook(object_id(request))
        return json_response(AffectedRecords())

    async def rotate(self, request: web.Request) -> web.StreamResponse:
        """Bodies are signed with a new secret from now on; for a day, or `overlapSeconds`, also with the one before.

        The answer has the new one alone, and no other answer has it: the one before was shown when it was new.
        """
        rotation = rotation_of(await read_optional_body(request, _BODY_MAX_BYTES))
        change = self._rotated(rotation.secret, rotation.overlap_ms)
        webhook = await self._store.change_webhook(object_id(request), change)
        return json_response(webhook_with_secrets_view(replace(webhook, secrets=webhook.secrets[:1])))

    def _rotated(self, secret: str, overlap_ms: int) -> Callable[[Webhook], Webhook]:
        now_ms = self._clock()
        return lambda kept: rules.rotate(kept, secret, now_ms, overlap_ms)

    def _answered_for(self, request: web.Request, webhook: Webhook) -> Webhook:
        """In the caller's name from now on."""
        _require_view(request, webhook)
        caller = caller_of(request)
        return replace(webhook, created_by_user_id=caller.user_id, created_by_application_id=caller.application_id)


def _require_view(request: web.Request, webhook: Webhook) -> None:
    for permission in rules.view_permissions(webhook):
        require(caller_of(request), permission)
