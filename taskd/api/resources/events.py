"""The events resource: what has happened, and who wants to be told."""

from collections.abc import Iterator

from aiohttp import web

from taskd.api.http.auditing import Audited, note
from taskd.api.http.authorization import caller_of
from taskd.api.http.json_response import json_response
from taskd.api.http.pages import Pages, RecordPage
from taskd.api.http.request_body import read_body
from taskd.api.http.request_parts import query_of
from taskd.api.http.routing import Route
from taskd.api.validation.event_body import (
    EventBody,
    SubscriptionBody,
    decode_event,
    decode_subscription,
    event_draft,
    subscription_draft,
)
from taskd.audit.entry import Action
from taskd.model import errors
from taskd.model.dispatching import EventView, event_view
from taskd.model.event_wire import SubscriptionView, subscription_view
from taskd.model.permissions import Permission
from taskd.store.base import TaskStore

EVENTS_PATH = "/events/v1"


class EventHandlers:
    """Answers everything under ``/events/v1``."""

    def __init__(self, store: TaskStore, body_max_bytes: int, pages: Pages) -> None:
        self._store = store
        self._body_max_bytes = body_max_bytes
        self._pages = pages

    def routes(self) -> Iterator[Route]:
        """The routes below :data:`EVENTS_PATH`."""
        yield Route(
            *("GET", "", self.listing, Permission.VIEW_EVENTS),
            tag="Events",
            summary="List events",
            response=RecordPage[EventView],
            takes_query=True,
        )
        yield Route(
            *("POST", "", self.create, Permission.CREATE_EVENTS),
            tag="Events",
            summary="Tell of an event",
            body=EventBody,
            response=EventView,
            errors=(errors.TOO_MANY_REQUESTS, errors.ILLEGAL_ARGUMENT),
        )
        yield Route(
            *("GET", "/subscriptions", self.subscriptions, Permission.VIEW_SUBSCRIPTIONS),
            tag="Events",
            summary="List subscriptions",
            response=RecordPage[SubscriptionView],
            takes_query=True,
        )
        yield Route(
            *("POST", "/subscriptions", self.subscribe, Permission.CREATE_SUBSCRIPTIONS),
            tag="Events",
            summary="Subscribe to events",
            body=SubscriptionBody,
            response=SubscriptionView,
            errors=(errors.ILLEGAL_STATE,),
            audited=Audited(Action.SUBSCRIPTIONS_CREATE, "subscription"),
        )

    async def listing(self, request: web.Request) -> web.StreamResponse:
        """A page of the events that a query finds."""
        query = query_of(request)
        found = await self._store.find_events(query, on_behalf_of=caller_of(request).key)
        return await self._pages.response(request, query, found, event_view)

    async def create(self, request: web.Request) -> web.StreamResponse:
        """The event is kept, and there is a task for every action of every dispatcher of its type, when this answers.

        With an `id` of your own, the same event may be sent again within 24 hours: nothing is kept or made twice.
        """
        body = decode_event(await read_body(request, self._body_max_bytes))
        return json_response(event_view(await self._store.publish(event_draft(body, caller_of(request)))))

    async def subscriptions(self, request: web.Request) -> web.StreamResponse:
        """A page of the subscriptions that a query finds."""
        query = query_of(request)
        found = await self._store.find_subscriptions(query)
        return await self._pages.response(request, query, found, subscription_view)

    async def subscribe(self, request: web.Request) -> web.StreamResponse:
        """The subscription is kept and listed; what delivers events to others are webhooks."""
        body = decode_subscription(await read_body(request, self._body_max_bytes))
        subscription = await self._store.add_subscription(subscription_draft(body))
        note(request, subscription.id, service=subscription.service_name)
        return json_response(subscription_view(subscription))
