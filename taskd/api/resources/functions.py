"""The functions resource: what there is to run."""

from collections.abc import Iterator

from aiohttp import web

from taskd.api.http.auditing import Audited, When, note
from taskd.api.http.json_response import json_response
from taskd.api.http.notices import adoption_notice
from taskd.api.http.pages import PageInfo, RecordPage
from taskd.api.http.request_body import read_body, read_optional_body
from taskd.api.http.routing import Route
from taskd.api.validation.function_body import (
    FunctionBody,
    FunctionUpdateBody,
    changed_fields,
    decode_code,
    decode_function,
    decode_function_update,
    new_function,
    updated_function,
)
from taskd.api.validation.pause_body import PauseBody, pause_reason
from taskd.audit.entry import Action
from taskd.execution.deployment import Deployments
from taskd.model import errors
from taskd.model.clock import Clock
from taskd.model.errors import ContractError
from taskd.model.permissions import Permission
from taskd.model.wire import AffectedRecords, FunctionRow, FunctionView, function_row, function_view
from taskd.store.base import TaskStore

_CODE_ERRORS = (errors.INVALID_CODE, errors.INVALID_CONFIGURATION)


class FunctionHandlers:
    """Answers everything under ``/functions``."""

    def __init__(self, store: TaskStore, deployments: Deployments, clock: Clock, body_max_bytes: int) -> None:
        self._store = store
        self._deployments = deployments
        self._clock = clock
        self._body_max_bytes = body_max_bytes

    def routes(self) -> Iterator[Route]:
        """The routes under the base path."""
        yield Route(
            *("GET", "/functions", self.listing, Permission.VIEW_TASK_FUNCTIONS),
            tag="Functions",
            summary="List functions",
            response=RecordPage[FunctionRow],
        )
        yield Route(
            *("POST", "/functions", self.create, Permission.CREATE_TASK_FUNCTION),
            tag="Functions",
            summary="Create a function",
            body=FunctionBody,
            response=FunctionView,
            errors=(errors.ALREADY_EXISTS, errors.INVALID_FUNCTION_NAME, *_CODE_ERRORS),
            audited=Audited(Action.FUNCTIONS_CREATE, "function"),
        )
        yield Route(
            *("GET", "/functions/{name}", self.details, Permission.VIEW_TASK_FUNCTION_DETAILS),
            tag="Functions",
            summary="Look at a function",
            response=FunctionView,
            errors=(errors.RESOURCE_UNKNOWN,),
            audited=Audited(Action.FUNCTIONS_VIEW_ENVIRONMENT, "function", "name", When.IF_NOTED),
        )
        yield Route(
            *("PUT", "/functions/{name}", self.update, Permission.UPDATE_TASK_FUNCTION),
            tag="Functions",
            summary="Change a function",
            body=FunctionUpdateBody,
            response=AffectedRecords,
            errors=(errors.RESOURCE_UNKNOWN, *_CODE_ERRORS),
            audited=Audited(Action.FUNCTIONS_UPDATE, "function", "name"),
        )
        yield Route(
            *("DELETE", "/functions/{name}", self.delete, Permission.DELETE_TASK_FUNCTION),
            tag="Functions",
            summary="Delete a function",
            response=AffectedRecords,
            errors=(errors.RESOURCE_UNKNOWN,),
            audited=Audited(Action.FUNCTIONS_DELETE, "function", "name"),
        )
        yield Route(
            *("POST", "/functions/{name}/enable", self.enable, Permission.UPDATE_TASK_FUNCTION),
            tag="Functions",
            summary="Enable a function",
            response=AffectedRecords,
            errors=(errors.RESOURCE_UNKNOWN,),
            audited=Audited(Action.FUNCTIONS_ENABLE, "function", "name"),
        )
        yield Route(
            *("POST", "/functions/{name}/disable", self.disable, Permission.UPDATE_TASK_FUNCTION),
            tag="Functions",
            summary="Disable a function",
            response=AffectedRecords,
            errors=(errors.RESOURCE_UNKNOWN,),
            audited=Audited(Action.FUNCTIONS_DISABLE, "function", "name"),
        )

        yield Route(
            *("POST", "/functions/{name}/pause", self.pause, Permission.UPDATE_TASK_FUNCTION),
            tag="Functions",
            summary="Pause a function",
            body=PauseBody,
            is_body_optional=True,
            response=FunctionView,
            errors=(errors.RESOURCE_UNKNOWN,),
            audited=Audited(Action.FUNCTIONS_PAUSE, "function", "name"),
        )
        yield Route(
            *("POST", "/functions/{name}/resume", self.resume, Permission.UPDATE_TASK_FUNCTION),
            tag="Functions",
            summary="Resume a function",
            response=FunctionView,
            errors=(errors.RESOURCE_UNKNOWN,),
            audited=Audited(Action.FUNCTIONS_RESUME, "function", "name"),
        )

    async def listing(self, request: web.Request) -> web.StreamResponse:
        """All functions, on one page; a query is not looked at."""
        rows = [function_row(function) for function in self._store.functions()]
        page = PageInfo(offset=0, limit=len(rows), total=len(rows))
        return json_response(RecordPage(query="{}", page=page, data=rows))

    async def create(self, request: web.Request) -> web.StreamResponse:
        """A new function; or, with ``external``, one that others deployed at AWS, where nothing is changed for it.

        Its time limit and memory are read there; where AWS does not tell, a ``Taskd-Notice`` says so.
        """
        body = decode_function(await read_body(request, self._body_max_bytes))
        undeployed = new_function(body, self._clock())
        note(request, undeployed.name)
        function = await self._deployments.create(undeployed, None if body.code is None else decode_code(body.code))
        response = json_response(function_view(function))
        response.headers.update(adoption_notice(function))
        return response

    async def details(self, request: web.Request) -> web.StreamResponse:
        """Everything about a function but its code."""
        name = request.match_info["name"]
        function = self._store.function(name)
        if function is None:
            raise ContractError(errors.RESOURCE_UNKNOWN, f"There is no function {name}.")
        if function.environment:
            note(request, name)
        return json_response(function_view(function))

    async def update(self, request: web.Request) -> web.StreamResponse:
        """Changes what the body names; with ``code``, calls that already run finish on the code they began with."""
        body = decode_function_update(await read_body(request, self._body_max_bytes))
        note(request, fields=" ".join(changed_fields(body)))
        code = None if body.code is None else decode_code(body.code)
        now_ms = self._clock()
        await self._deployments.update(
            request.match_info["name"], lambda function: updated_function(function, body, now_ms), code
        )
        return json_response(AffectedRecords())

    async def enable(self, request: web.Request) -> web.StreamResponse:
        """Tasks of the function run again."""
        return await self._set_enabled(request, enabled=True)

    async def disable(self, request: web.Request) -> web.StreamResponse:
        """Due tasks of the function fail instead of running."""
        return await self._set_enabled(request, enabled=False)

    async def pause(self, request: web.Request) -> web.StreamResponse:
        """Tasks of the function wait until it is resumed, in order; those that run already go on, and so do calls.

        Whatever waits for an answer is no task of the queue: direct executions and calls of API functions.
        """
        return await self._set_paused(request, paused=True, reason=pause_reason(await self._optional_body(request)))

    async def resume(self, request: web.Request) -> web.StreamResponse:
        """Tasks of the function run again."""
        return await self._set_paused(request, paused=False, reason=None)

    async def delete(self, request: web.Request) -> web.StreamResponse:
        """The function goes; its tasks and logs stay."""
        await self._deployments.remove(request.match_info["name"])
        return json_response(AffectedRecords())

    async def _optional_body(self, request: web.Request) -> bytes:
        return await read_optional_body(request, self._body_max_bytes)

    async def _set_paused(self, request: web.Request, *, paused: bool, reason: str | None) -> web.StreamResponse:
        name, now_ms = request.match_info["name"], self._clock()
        function = await self._deployments.set_paused(name, paused=paused, reason=reason, now_ms=now_ms)
        return json_response(function_view(function))

    async def _set_enabled(self, request: web.Request, *, enabled: bool) -> web.StreamResponse:
        await self._deployments.set_enabled(request.match_info["name"], enabled=enabled, now_ms=self._clock())
        return json_response(AffectedRecords())
