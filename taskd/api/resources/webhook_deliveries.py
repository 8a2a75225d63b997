"""The deliveries of a webhook: what it was told, what it is still to be told, and telling it again."""

from collections.abc import Iterator

from aiohttp import web

from taskd.api.http.auditing import Audited, note
from taskd.api.http.json_response import json_response
from taskd.api.http.pages import Pages, RecordPage
from taskd.api.http.request_parts import object_id, query_of
from taskd.api.http.routing import Route
from taskd.audit.entry import Action
from taskd.model import errors
from taskd.model.permissions import Permission
from taskd.model.webhook import TEST_EVENT
from taskd.model.webhook_content import test_content
from taskd.model.webhook_wire import DeliveryView, delivery_view
from taskd.store.base import TaskStore


class WebhookDeliveryHandlers:
    """Answers under ``/webhooks/{id}/deliveries``, and tests."""

    def __init__(self, store: TaskStore, pages: Pages) -> None:
        self._store = store
        self._pages = pages

    def routes(self) -> Iterator[Route]:
        """The routes below ``/taskd/v1``."""
        yield Route(
            *("GET", "/webhooks/{id}/deliveries", self.listing, Permission.VIEW_WEBHOOKS),
            tag="Webhooks",
            summary="List deliveries",
            response=RecordPage[DeliveryView],
            takes_query=True,
            errors=(errors.RESOURCE_UNKNOWN,),
        )
        yield Route(
            *("POST", "/webhooks/{id}/deliveries/{delivery}/redeliver", self.redeliver, Permission.MANAGE_WEBHOOKS),
            tag="Webhooks",
            summary="Deliver again",
            response=DeliveryView,
            errors=(errors.RESOURCE_UNKNOWN, errors.ILLEGAL_STATE),
            audited=Audited(Action.WEBHOOKS_REDELIVER, "webhook", "id"),
        )
        yield Route(
            *("POST", "/webhooks/{id}/test", self.test, Permission.MANAGE_WEBHOOKS),
            tag="Webhooks",
            summary="Try a webhook out",
            response=DeliveryView,
            errors=(errors.RESOURCE_UNKNOWN, errors.ILLEGAL_STATE),
            audited=Audited(Action.WEBHOOKS_TEST, "webhook", "id"),
        )

    async def listing(self, request: web.Request) -> web.StreamResponse:
        """A page of the deliveries that a query finds: all that wait, and the newest of those that have ended."""
        query = query_of(request)
        found = await self._store.find_deliveries(object_id(request), query)
        return await self._pages.response(request, query, found, delivery_view)

    async def redeliver(self, request: web.Request) -> web.StreamResponse:
        """It is attempted at once, with the id that it had, whatever became of it: and as often as a new one."""
        delivery_id = object_id(request, "delivery")
        note(request, delivery=delivery_id)
        return json_response(delivery_view(await self._store.redeliver(object_id(request), delivery_id)))

    async def test(self, request: web.Request) -> web.StreamResponse:
        """Delivers an event `webhook.test`, which says nothing, whatever the webhook is told of otherwise."""
        webhook_id = object_id(request)
        return json_response(
            delivery_view(await self._store.deliver(webhook_id, TEST_EVENT, webhook_id, test_content()))
        )
