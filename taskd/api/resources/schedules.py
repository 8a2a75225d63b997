"""The schedules resource: what is to be done again and again."""

from collections.abc import Iterator

from aiohttp import web

from taskd.api.http.auditing import Audited, note
from taskd.api.http.authorization import caller_of
from taskd.api.http.json_response import json_response
from taskd.api.http.pages import Pages, RecordPage
from taskd.api.http.request_body import read_body
from taskd.api.http.request_parts import object_id, query_of
from taskd.api.http.routing import Route
from taskd.api.validation.task_body import ScheduleBody, decode_schedule, schedule_draft
from taskd.audit.entry import Action
from taskd.model.clock import Clock
from taskd.model.permissions import Permission
from taskd.model.wire import AffectedRecords, ScheduleView, schedule_view
from taskd.store.base import TaskStore


class ScheduleHandlers:
    """Answers everything under ``/schedules``."""

    def __init__(self, store: TaskStore, clock: Clock, body_max_bytes: int, pages: Pages) -> None:
        self._store = store
        self._pages = pages
        self._clock = clock
        self._body_max_bytes = body_max_bytes

    def routes(self) -> Iterator[Route]:
        """The routes under the base path."""
        yield Route(
            *("GET", "/schedules", self.listing, Permission.VIEW_TASK_SCHEDULES),
            tag="Schedules",
            summary="List schedules",
            response=RecordPage[ScheduleView],
            takes_query=True,
        )
        yield Route(
            *("POST", "/schedules", self.create, Permission.CREATE_TASK_SCHEDULE),
            tag="Schedules",
            summary="Create a schedule",
            body=ScheduleBody,
            response=ScheduleView,
            also_needs=(Permission.CREATE_TASKS,),
            audited=Audited(Action.SCHEDULES_CREATE, "schedule"),
        )
        yield Route(
            *("DELETE", "/schedules/{id}", self.delete, Permission.DELETE_TASK_SCHEDULE),
            tag="Schedules",
            summary="Delete a schedule",
            response=AffectedRecords,
            audited=Audited(Action.SCHEDULES_DELETE, "schedule", "id"),
        )

    async def listing(self, request: web.Request) -> web.StreamResponse:
        """A page of the schedules that a query finds."""
        query = query_of(request)
        return await self._pages.response(request, query, await self._store.find_schedules(query), schedule_view)

    async def create(self, request: web.Request) -> web.StreamResponse:
        """A new schedule; it is durable when the response leaves."""
        body = decode_schedule(await read_body(request, self._body_max_bytes))
        function = self._store.function(body.function_name)
        draft = schedule_draft(body, function, self._clock(), caller_of(request))
        schedule = await self._store.add_schedule(draft)
        note(request, schedule.id, functionName=schedule.function_name)
        return json_response(schedule_view(schedule))

    async def delete(self, request: web.Request) -> web.StreamResponse:
        """The schedule goes; the tasks that it made stay."""
        await self._store.remove_schedule(object_id(request))
        return json_response(AffectedRecords())
