"""The logs of tasks: what their functions printed."""

from collections.abc import Iterator

from aiohttp import web

from taskd.api.http.pages import LogPage, log_page_response
from taskd.api.http.routing import Route
from taskd.model import errors
from taskd.model.errors import ContractError
from taskd.model.permissions import Permission
from taskd.model.status import Status
from taskd.model.wire import LogLineView
from taskd.store.base import TaskStore

_NEVER_RAN = frozenset({Status.NEW, Status.CANCELED})


class TaskLogHandlers:
    """Answers for the logs of one task."""

    def __init__(self, store: TaskStore) -> None:
        self._store = store

    def routes(self) -> Iterator[Route]:
        """The routes under the base path."""
        yield Route(
            *("GET", "/{id}/logs", self.listing, Permission.VIEW_TASK_LOGS),
            tag="Tasks",
            summary="Read a task's log",
            response=LogPage[LogLineView],
            takes_query=True,
            errors=(errors.ILLEGAL_STATE, errors.NO_LOGS),
        )

    async def listing(self, request: web.Request) -> web.StreamResponse:
        """A page of a task's log lines, in the order they were printed."""
        return await log_page_response(request, self._store, self._require_run, errors.NO_LOGS)

    async def _require_run(self, task_id: str) -> None:
        task = await self._store.get(task_id)
        if task.status in _NEVER_RAN:
            message = f"Task {task.id} is {task.status}, it has not run, so there is no log of it."
            raise ContractError(errors.ILLEGAL_STATE, message)
