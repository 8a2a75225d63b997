"""The times of a schedule: which come next, those that passed made up for, and a task of it out of turn."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from aiohttp import web

from taskd.api.http.authorization import caller_of
from taskd.api.http.json_response import json_response
from taskd.api.http.request_body import read_body
from taskd.api.http.request_parts import idempotency_key, object_id
from taskd.api.http.routing import Route
from taskd.api.http.unique_answers import created, result_view
from taskd.api.validation.body_decoder import field_error
from taskd.api.validation.schedule_body import (
    BackfillBody,
    ScheduleBody,
    decode_backfill,
    decode_schedule,
    schedule_draft,
    span_ms,
)
from taskd.model import errors, limits, recurrence
from taskd.model import schedule as rules
from taskd.model.clock import Clock
from taskd.model.errors import ContractError, TaskdError
from taskd.model.permissions import Permission
from taskd.model.schedule import Schedule
from taskd.model.timestamps import format_ms
from taskd.model.wire import AffectedRecords, CreatedTaskView, ScheduleTimes
from taskd.store.base import TaskStore

_COUNT_DEFAULT = 10


class ScheduleTimeHandlers:
    """Answers ``next``, ``backfill`` and ``trigger`` under ``/schedules``."""

    def __init__(self, store: TaskStore, clock: Clock, body_max_bytes: int) -> None:
        self._store = store
        self._clock = clock
        self._body_max_bytes = body_max_bytes

    def routes(self) -> Iterator[Route]:
        """The routes under the base path."""
        yield Route(
            *("GET", "/schedules/{id}/next", self.next, Permission.VIEW_TASK_SCHEDULES),
            tag="Schedules",
            summary="Ask when tasks of a schedule are due",
            response=ScheduleTimes,
            errors=(errors.RESOURCE_UNKNOWN, errors.FIELD_FORMAT, errors.ILLEGAL_STATE),
        )
        yield Route(
            *("POST", "/schedules/next", self.next_of_body, Permission.VIEW_TASK_SCHEDULES),
            tag="Schedules",
            summary="Ask when tasks of a schedule would be due that is not kept",
            body=ScheduleBody,
            response=ScheduleTimes,
        )
        yield Route(
            *("POST", "/schedules/{id}/trigger", self.trigger, Permission.CREATE_TASK_SCHEDULE),
            tag="Schedules",
            summary="Make a task of a schedule now",
            response=CreatedTaskView,
            is_idempotent=True,
            also_needs=(Permission.CREATE_TASKS,),
            errors=(errors.RESOURCE_UNKNOWN, errors.ALREADY_EXISTS, errors.TOO_MANY_REQUESTS),
        )
        yield Route(
            *("POST", "/schedules/{id}/backfill", self.backfill, Permission.CREATE_TASK_SCHEDULE),
            tag="Schedules",
            summary="Make the tasks of times that have passed",
            body=BackfillBody,
            response=AffectedRecords,
            is_idempotent=True,
            also_needs=(Permission.CREATE_TASKS,),
            errors=(
                *(errors.RESOURCE_UNKNOWN, errors.ALREADY_EXISTS, errors.ILLEGAL_ARGUMENT, errors.ILLEGAL_STATE),
                errors.TOO_MANY_REQUESTS,
            ),
        )

    async def next(self, request: web.Request) -> web.StreamResponse:
        """The next ``count`` times, 10 where it is not given; none while the schedule is paused."""
        count = _count(request)
        return await _times_response(await self._store.schedule(object_id(request)), count)

    async def next_of_body(self, request: web.Request) -> web.StreamResponse:
        """The next ``count`` times of the schedule that the body describes. Nothing is kept of it."""
        count, now_ms = _count(request), self._clock()
        body = decode_schedule(await read_body(request, self._body_max_bytes))
        draft = schedule_draft(body, self._store.function(body.function_name), now_ms, caller_of(request))
        return await _times_response(recurrence.create(draft, "", now_ms), count)

    async def trigger(self, request: web.Request) -> web.StreamResponse:
        """A task that is due now, in the name of the caller, whatever the schedule's ``overlap``; also of a paused one.

        It changes nothing about when the schedule makes its own.
        """
        schedule = self._in_name_of_caller(request, await self._store.schedule(object_id(request)))
        draft = rules.occurrence(schedule, self._clock())
        [result] = await created(self._store, [draft], idempotency_key(request, b""))
        return json_response(result_view(result, caller_of(request)))

    async def backfill(self, request: web.Request) -> web.StreamResponse:
        """A task for each time ``from`` to ``to``, both included, all of them or none; all are due now.

        They are made whether or not there were tasks of these times before, and whatever the schedule's ``overlap``;
        but its ``unique`` key holds for them, too.
        """
        content = await read_body(request, self._body_max_bytes)
        from_ms, to_ms = span_ms(decode_backfill(content), self._clock())
        schedule = self._in_name_of_caller(request, await self._store.schedule(object_id(request)))
        most = min(limits.BULK_TASKS_MAX, limits.BACKFILL_MAX_BYTES // len(schedule.data))
        times = await _computed(lambda: islice(recurrence.times_between(schedule, from_ms, to_ms), most + 1))
        if len(times) > most:
            message = f"More than {most} times lie between these; ask for a part of them at a time."
            raise ContractError(errors.ILLEGAL_ARGUMENT, message)
        drafts = [rules.occurrence(schedule, time_ms) for time_ms in times]
        results = await created(self._store, drafts, idempotency_key(request, content)) if drafts else []
        return json_response(AffectedRecords(sum(not result.conflict for result in results)))

    def _in_name_of_caller(self, request: web.Request, schedule: Schedule) -> Schedule:
        caller = caller_of(request)
        return rules.hand_over(schedule, caller.user_id, caller.application_id)


def _count(request: web.Request) -> int:
    text = request.query.get("count", str(_COUNT_DEFAULT))
    count = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0
    if not 1 <= count <= limits.SCHEDULE_TIMES_MAX:
        raise field_error("count", f"be a whole number from 1 to {limits.SCHEDULE_TIMES_MAX}")
    return count


async def _times_response(schedule: Schedule, count: int) -> web.StreamResponse:
    times = await _computed(lambda: recurrence.upcoming(schedule, count))
    return json_response(ScheduleTimes([format_ms(time_ms) for time_ms in times]))


async def _computed(compute: Callable[[], Iterable[int]]) -> list[int]:
    """The times, computed aside of the event loop: many of them, or very rare ones, take long."""
    try:
        return await asyncio.to_thread(lambda: list(compute()))
    except TaskdError as error:
        raise ContractError(errors.ILLEGAL_STATE, f"The times of this schedule cannot be told here: {error}") from None
