"""The dispatchers resource: what is to be done when there is an event."""

from collections.abc import Iterator

from aiohttp import web

from taskd.api.http.auditing import Audited, note
from taskd.api.http.json_response import json_response
from taskd.api.http.pages import Pages, RecordPage
from taskd.api.http.request_body import read_body
from taskd.api.http.request_parts import object_id, query_of
from taskd.api.http.routing import Route
from taskd.api.validation.dispatcher_body import (
    ActionBody,
    ActionUpdateBody,
    DispatcherBody,
    DispatcherUpdateBody,
    action_of,
    decode_action,
    decode_action_update,
    decode_dispatcher,
    decode_dispatcher_update,
    dispatcher_draft,
    updated_action,
    updated_dispatcher,
)
from taskd.audit.entry import Action
from taskd.model import dispatcher as rules
from taskd.model import errors
from taskd.model.clock import Clock
from taskd.model.dispatcher import Dispatcher
from taskd.model.event_wire import ActionView, DispatcherView, action_view, dispatcher_view
from taskd.model.permissions import Permission
from taskd.model.wire import AffectedRecords
from taskd.store.base import TaskStore

DISPATCHERS_PATH = "/dispatchers/v1"
_UPDATE = Audited(Action.DISPATCHERS_UPDATE, "dispatcher", "id")


class DispatcherHandlers:
    """Answers everything under ``/dispatchers/v1``."""

    def __init__(self, store: TaskStore, clock: Clock, body_max_bytes: int, pages: Pages) -> None:
        self._store = store
        self._clock = clock
        self._body_max_bytes = body_max_bytes
        self._pages = pages

    def routes(self) -> Iterator[Route]:
        """The routes below :data:`DISPATCHERS_PATH`."""
        yield Route(
            *("GET", "", self.listing, Permission.VIEW_DISPATCHERS),
            tag="Dispatchers",
            summary="List dispatchers",
            response=RecordPage[DispatcherView],
            takes_query=True,
        )
        yield Route(
            *("POST", "", self.create, Permission.CREATE_DISPATCHERS),
            tag="Dispatchers",
            summary="Create a dispatcher",
            body=DispatcherBody,
            response=DispatcherView,
            errors=(errors.ALREADY_EXISTS, errors.ILLEGAL_STATE),
            audited=Audited(Action.DISPATCHERS_CREATE, "dispatcher"),
        )
        yield Route(
            *("PUT", "/{id}", self.update, Permission.UPDATE_DISPATCHERS),
            tag="Dispatchers",
            summary="Change a dispatcher",
            body=DispatcherUpdateBody,
            response=AffectedRecords,
            errors=(errors.ALREADY_EXISTS, errors.ILLEGAL_STATE),
            audited=_UPDATE,
        )
        yield Route(
            *("DELETE", "/{id}", self.delete, Permission.DELETE_DISPATCHERS),
            tag="Dispatchers",
            summary="Delete a dispatcher",
            response=AffectedRecords,
            audited=Audited(Action.DISPATCHERS_DELETE, "dispatcher", "id"),
        )
        yield from self._action_routes()

    def _action_routes(self) -> Iterator[Route]:
        yield Route(
            *("POST", "/{id}/actions", self.create_action, Permission.UPDATE_DISPATCHERS),
            tag="Dispatchers",
            summary="Add an action",
            body=ActionBody,
            response=ActionView,
            errors=(errors.ALREADY_EXISTS, errors.ILLEGAL_STATE),
            audited=_UPDATE,
        )
        yield Route(
            *("PUT", "/{id}/actions/{action_id}", self.update_action, Permission.UPDATE_DISPATCHERS),
            tag="Dispatchers",
            summary="Change an action",
            body=ActionUpdateBody,
            response=AffectedRecords,
            errors=(errors.ALREADY_EXISTS, errors.ILLEGAL_STATE),
            audited=_UPDATE,
        )
        yield Route(
            *("DELETE", "/{id}/actions/{action_id}", self.delete_action, Permission.UPDATE_DISPATCHERS),
            tag="Dispatchers",
            summary="Take an action away",
            response=AffectedRecords,
            audited=_UPDATE,
        )

    async def listing(self, request: web.Request) -> web.StreamResponse:
        """A page of the dispatchers that a query finds, with their actions."""
        query = query_of(request)
        found = await self._store.find_dispatchers(query)
        return await self._pages.response(request, query, found, dispatcher_view)

    async def create(self, request: web.Request) -> web.StreamResponse:
        """A new dispatcher. Each event of its type makes a task for each of its actions from now on.

        The tasks are in the name of who tells of the event, with `data` that has the event as its field `event`.
        Actions of type `mail` are kept, and do nothing.
        """
        body = decode_dispatcher(await read_body(request, self._body_max_bytes))
        dispatcher = await self._store.add_dispatcher(dispatcher_draft(body))
        note(request, dispatcher.id, eventType=dispatcher.event_type)
        return json_response(dispatcher_view(dispatcher))

    async def update(self, request: web.Request) -> web.StreamResponse:
        """Changes what the body names but the actions; null takes away what may be left out."""
        body = decode_dispatcher_update(await read_body(request, self._body_max_bytes))
        now_ms = self._clock()
        await self._store.change_dispatcher(object_id(request), lambda kept: updated_dispatcher(kept, body, now_ms))
        return json_response(AffectedRecords())

    async def delete(self, request: web.Request) -> web.StreamResponse:
        """The dispatcher goes; the tasks that it made stay."""
        await self._store.remove_dispatcher(object_id(request))
        return json_response(AffectedRecords())

    async def create_action(self, request: web.Request) -> web.StreamResponse:
        """A new action, after those that there are."""
        action = action_of(decode_action(await read_body(request, self._body_max_bytes)))
        now_ms = self._clock()
        changed = await self._store.change_dispatcher(
            object_id(request), lambda kept: rules.with_action(kept, action, now_ms)
        )
        return json_response(action_view(changed.actions[-1]))

    async def update_action(self, request: web.Request) -> web.StreamResponse:
        """Changes what the body names; null takes away what may be left out. The type stays."""
        action_id = object_id(request, "action_id")
        body = decode_action_update(await read_body(request, self._body_max_bytes))
        now_ms = self._clock()

        def updated(kept: Dispatcher) -> Dispatcher:
            return rules.with_changed_action(kept, updated_action(rules.action_of(kept, action_id), body), now_ms)

        await self._store.change_dispatcher(object_id(request), updated)
        return json_response(AffectedRecords())

    async def delete_action(self, request: web.Request) -> web.StreamResponse:
        """The action goes; the tasks that it made stay."""
        action_id, now_ms = object_id(request, "action_id"), self._clock()
        await self._store.change_dispatcher(
            object_id(request), lambda kept: rules.without_action(kept, action_id, now_ms)
        )
        return json_response(AffectedRecords())
