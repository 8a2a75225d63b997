"""Direct execution: a function is run at once, and its result is the answer."""

from collections.abc import Iterator

from aiohttp import web

from taskd.api.http.authorization import called_function, caller_of
from taskd.api.http.json_response import json_response
from taskd.api.http.request_body import read_optional_body
from taskd.api.http.routing import Route
from taskd.api.validation.task_body import ExecutionBody, decode_execution, execution_draft
from taskd.execution.direct import DirectExecutions
from taskd.model import errors
from taskd.model.clock import Clock
from taskd.model.permissions import Permission
from taskd.model.wire import ExecutedTaskView, executed_task_view
from taskd.store.base import TaskStore

_ERRORS = (
    errors.CONCURRENT_EXECUTIONS,
    errors.EXECUTION_TIME_LIMIT,
    errors.FUNCTION_DISABLED,
    errors.FUNCTION_FAILED,
    errors.NOT_INVOKED,
    errors.RESOURCE_UNKNOWN,
)


class ExecuteHandlers:
    """Answers ``POST /functions/{name}/execute``."""

    def __init__(self, store: TaskStore, executions: DirectExecutions, clock: Clock, body_max_bytes: int) -> None:
        self._store = store
        self._executions = executions
        self._clock = clock
        self._body_max_bytes = body_max_bytes

    def routes(self) -> Iterator[Route]:
        """The routes under the base path."""
        yield Route(
            *("POST", "/functions/{name}/execute", self.execute, Permission.EXECUTE_TASK_FUNCTION),
            tag="Functions",
            summary="Execute a function at once",
            body=ExecutionBody,
            is_body_optional=True,
            response=ExecutedTaskView,
            obeys_permission_mode=True,
            errors=_ERRORS,
        )

    async def execute(self, request: web.Request) -> web.StreamResponse:
        """The task as it ended, with the function's result; the body may be missing."""
        function = called_function(request, self._store, Permission.EXECUTE_TASK_FUNCTION)
        body = decode_execution(await read_optional_body(request, self._body_max_bytes) or b"{}")
        draft = execution_draft(body, function, self._clock(), caller_of(request))
        executed = await self._executions.execute(function, draft)
        return json_response(executed_task_view(executed.task, executed.result))
