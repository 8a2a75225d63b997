"""Pausing everything: nothing is started until it is resumed, over restarts, too."""

from collections.abc import Iterator

from aiohttp import web
from msgspec import UNSET, Struct, UnsetType

from taskd.api.http.auditing import Audited
from taskd.api.http.authorization import caller_of
from taskd.api.http.json_response import json_response
from taskd.api.http.request_body import read_optional_body
from taskd.api.http.routing import Route
from taskd.api.validation.pause_body import PauseBody, pause_reason
from taskd.audit.entry import Action
from taskd.model.clock import Clock
from taskd.model.pause import Pause
from taskd.model.permissions import Permission
from taskd.model.timestamps import format_ms
from taskd.store.base import TaskStore


class PauseView(Struct, rename="camel"):
    """Whether everything is paused; and if so since when, why, and by whom."""

    paused: bool
    since_timestamp: str | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    paused_by_user_id: str | UnsetType = UNSET
    paused_by_application_id: str | UnsetType = UNSET


class PauseHandlers:
    """Answers ``/pause`` and ``/resume``."""

    def __init__(self, store: TaskStore, clock: Clock, body_max_bytes: int) -> None:
        self._store = store
        self._clock = clock
        self._body_max_bytes = body_max_bytes

    def routes(self) -> Iterator[Route]:
        """The routes below ``/taskd/v1``."""
        yield Route(
            *("GET", "/pause", self.show, Permission.VIEW_TASKS),
            tag="Service",
            summary="Ask whether everything is paused",
            response=PauseView,
        )
        yield Route(
            *("POST", "/pause", self.pause, Permission.UPDATE_TASK_FUNCTION),
            tag="Service",
            summary="Pause everything",
            body=PauseBody,
            is_body_optional=True,
            response=PauseView,
            audited=Audited(Action.EVERYTHING_PAUSE, "service"),
        )
        yield Route(
            *("POST", "/resume", self.resume, Permission.UPDATE_TASK_FUNCTION),
            tag="Service",
            summary="Go on with everything",
            response=PauseView,
            audited=Audited(Action.EVERYTHING_RESUME, "service"),
        )

    async def show(self, request: web.Request) -> web.StreamResponse:
        """Whether everything is paused now."""
        return json_response(_view(self._store.pause()))

    async def pause(self, request: web.Request) -> web.StreamResponse:
        """Nothing is started until it is resumed; what runs goes on to its end.

        Tasks can be created, and wait; schedules make theirs, which wait, too. Direct executions and calls of API
        functions are refused with 1503. If it is paused already, the reason is another from now on.
        """
        reason = pause_reason(await read_optional_body(request, self._body_max_bytes))
        caller = caller_of(request)
        asked = Pause(self._clock(), reason, caller.user_id, caller.application_id)
        return json_response(_view(await self._store.pause_all(asked)))

    async def resume(self, request: web.Request) -> web.StreamResponse:
        """What waits is started again, in order; functions that are paused by themselves stay so."""
        await self._store.resume_all()
        return json_response(_view(None))


def _view(pause: Pause | None) -> PauseView:
    if pause is None:
        return PauseView(paused=False)
    return PauseView(
        paused=True,
        since_timestamp=format_ms(pause.since_ms),
        reason=pause.reason or UNSET,
        paused_by_user_id=pause.user_id or UNSET,
        paused_by_application_id=pause.application_id or UNSET,
    )
