"""The schedules resource: what is to be done again and again."""

from collections.abc import Iterator

from aiohttp import web

from taskd.api.http.auditing import Audited, note
from taskd.api.http.authorization import caller_of
from taskd.api.http.json_response import json_response
from taskd.api.http.pages import Pages, RecordPage
from taskd.api.http.request_body import read_body, read_optional_body
from taskd.api.http.request_parts import object_id, query_of
from taskd.api.http.routing import Route
from taskd.api.validation.pause_body import PauseBody, pause_reason
from taskd.api.validation.schedule_body import (
    ScheduleBody,
    ScheduleUpdateBody,
    decode_schedule,
    decode_schedule_update,
    schedule_draft,
    updated_schedule,
)
from taskd.audit.entry import Action
from taskd.model import errors, recurrence
from taskd.model import schedule as rules
from taskd.model.caller import Caller
from taskd.model.clock import Clock
from taskd.model.cron import CronError
from taskd.model.errors import ContractError
from taskd.model.permissions import Permission
from taskd.model.schedule import Schedule
from taskd.model.time_zones import UnknownZoneError
from taskd.model.wire import AffectedRecords, ScheduleView, schedule_view
from taskd.store.base import Objection, ScheduleChange, TaskStore


class ScheduleHandlers:
    """Answers everything under ``/schedules``."""

    def __init__(self, store: TaskStore, clock: Clock, body_max_bytes: int, pages: Pages, objection: Objection) -> None:
        """A schedule that there is an ``objection`` to needs somebody else to answer for it."""
        self._store = store
        self._pages = pages
        self._objection = objection
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

        yield Route(
            *("GET", "/schedules/{id}", self.details, Permission.VIEW_TASK_SCHEDULES),
            tag="Schedules",
            summary="Look at a schedule",
            response=ScheduleView,
            errors=(errors.RESOURCE_UNKNOWN,),
        )
        yield Route(
            *("PUT", "/schedules/{id}", self.update, Permission.CREATE_TASK_SCHEDULE),
            tag="Schedules",
            summary="Change a schedule",
            body=ScheduleUpdateBody,
            response=ScheduleView,
            also_needs=(Permission.CREATE_TASKS,),
            errors=(errors.RESOURCE_UNKNOWN,),
            audited=Audited(Action.SCHEDULES_UPDATE, "schedule", "id"),
        )
        yield Route(
            *("POST", "/schedules/{id}/pause", self.pause, Permission.CREATE_TASK_SCHEDULE),
            tag="Schedules",
            summary="Pause a schedule",
            body=PauseBody,
            is_body_optional=True,
            response=ScheduleView,
            errors=(errors.RESOURCE_UNKNOWN,),
            audited=Audited(Action.SCHEDULES_PAUSE, "schedule", "id"),
        )
        yield Route(
            *("POST", "/schedules/{id}/resume", self.resume, Permission.CREATE_TASK_SCHEDULE),
            tag="Schedules",
            summary="Resume a schedule",
            response=ScheduleView,
            also_needs=(Permission.CREATE_TASKS,),
            errors=(errors.RESOURCE_UNKNOWN,),
            audited=Audited(Action.SCHEDULES_RESUME, "schedule", "id"),
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

    async def details(self, request: web.Request) -> web.StreamResponse:
        """Everything about a schedule."""
        return json_response(schedule_view(await self._store.schedule(object_id(request))))

    async def pause(self, request: web.Request) -> web.StreamResponse:
        """It makes no more tasks until it is resumed; those that it made stay."""
        body = await read_optional_body(request, self._body_max_bytes)
        reason, now_ms = pause_reason(body), self._clock()
        return await self._changed(request, lambda kept: rules.pause(kept, now_ms, reason))

    async def resume(self, request: web.Request) -> web.StreamResponse:
        """It goes on at its next time; what passed while it was paused is not made up for.

        A schedule that was paused because whoever created it is gone, or may not create tasks any more, goes on in the
        name of who resumes it.
        """
        caller, now_ms = caller_of(request), self._clock()

        def resumed(kept: Schedule) -> Schedule:
            return self._answered_for(recurrence.resume(kept, now_ms), caller)

        return await self._changed(request, resumed)

    async def update(self, request: web.Request) -> web.StreamResponse:
        """Changes what the body names; null takes away what may be left out.

        It stays aimed at its next time, unless its times are others then. With another function or other data it makes
        its tasks in the name of who changed it.
        """
        body = decode_schedule_update(await read_body(request, self._body_max_bytes))
        caller, now_ms = caller_of(request), self._clock()

        def updated(kept: Schedule) -> Schedule:
            changed = updated_schedule(kept, body, now_ms)
            if (changed.function_name, changed.data) != (kept.function_name, kept.data):
                changed = rules.hand_over(changed, caller.user_id, caller.application_id)
            return changed if changed.paused else self._answered_for(changed, caller)

        return await self._changed(request, updated)

    async def _changed(self, request: web.Request, change: ScheduleChange) -> web.StreamResponse:
        try:
            changed = await self._store.change_schedule(object_id(request), change)
        except (CronError, UnknownZoneError) as error:
            message = f"The times of this schedule cannot be told here: {error}"
            raise ContractError(errors.ILLEGAL_STATE, message) from None
        return json_response(schedule_view(changed))

    def _answered_for(self, schedule: Schedule, caller: Caller) -> Schedule:
        """In the caller's name from now on, if nobody else can answer for it."""
        if self._objection(schedule) is None:
            return schedule
        return rules.hand_over(schedule, caller.user_id, caller.application_id)

    async def delete(self, request: web.Request) -> web.StreamResponse:
        """The schedule goes; the tasks that it made stay."""
        await self._store.remove_schedule(object_id(request))
        return json_response(AffectedRecords())
