"""The tasks resource: create, list, look at one and wait for its end, cancel, delete."""

from collections.abc import Iterator

from aiohttp import web

from taskd.api.http.auditing import Audited
from taskd.api.http.authorization import caller_of
from taskd.api.http.json_response import JsonResponse, json_response
from taskd.api.http.pages import Pages, RecordPage, long_data_from_bytes
from taskd.api.http.request_body import read_body
from taskd.api.http.request_parts import idempotency_key, object_id, query_of
from taskd.api.http.routing import Route
from taskd.api.http.unique_answers import created, result_view
from taskd.api.http.waits import Waits, wait_s
from taskd.api.validation.task_body import TaskBody, decode_task, task_draft
from taskd.audit.entry import Action
from taskd.model import errors
from taskd.model.clock import Clock
from taskd.model.errors import ContractError
from taskd.model.idempotency import IdempotencyKey
from taskd.model.permissions import Permission
from taskd.model.status import FINAL
from taskd.model.task import TaskDraft
from taskd.model.wire import AffectedRecords, CreatedTaskView, TaskView, encode_task, task_view
from taskd.store.base import TaskStore


class TaskHandlers:
    """Answers for tasks, under the base path itself."""

    def __init__(self, store: TaskStore, waits: Waits, pages: Pages, clock: Clock, body_max_bytes: int) -> None:
        self._store = store
        self._waits = waits
        self._pages = pages
        self._clock = clock
        self._body_max_bytes = body_max_bytes

    def routes(self) -> Iterator[Route]:
        """The routes under the base path."""
        yield Route(
            *("GET", "", self.listing, Permission.VIEW_TASKS),
            tag="Tasks",
            summary="List tasks",
            response=RecordPage[TaskView],
            takes_query=True,
        )
        yield Route(
            *("POST", "", self.create, Permission.CREATE_TASKS),
            tag="Tasks",
            summary="Create a task",
            body=TaskBody,
            response=CreatedTaskView,
            is_idempotent=True,
            errors=(errors.ALREADY_EXISTS,),
        )
        yield Route(
            *("GET", "/{id}", self.show, Permission.VIEW_TASKS),
            tag="Tasks",
            summary="Look at a task, or wait for its end",
            response=TaskView,
            can_wait=True,
        )
        yield Route(
            *("POST", "/{id}/cancel", self.cancel, Permission.CANCEL_TASKS),
            tag="Tasks",
            summary="Cancel a task",
            response=AffectedRecords,
            errors=(errors.ILLEGAL_STATE,),
            audited=Audited(Action.TASKS_CANCEL, "task", "id"),
        )
        yield Route(
            *("DELETE", "/{id}", self.delete, Permission.DELETE_TASKS),
            tag="Tasks",
            summary="Delete a task that has ended",
            response=AffectedRecords,
            errors=(errors.ILLEGAL_STATE,),
            audited=Audited(Action.TASKS_DELETE, "task", "id"),
        )

    async def create(self, request: web.Request) -> web.StreamResponse:
        """A new task; it is durable when the response leaves.

        With a ``unique`` key that another task of the function has, it gives that one, with ``conflict``: true. To a
        caller without ``VIEW_TASKS`` it gives nothing of the data, tags and error of somebody else's.
        """
        draft, key = self._asked_for(request, await read_body(request, self._body_max_bytes))
        if draft.extras is not None:
            [result] = await created(self._store, (draft,), key)
            return json_response(result_view(result, caller_of(request)))
        [task] = await self._store.add((draft,), key)
        return JsonResponse(encode_task(task))

    def _asked_for(self, request: web.Request, text: bytes) -> tuple[TaskDraft, IdempotencyKey | None]:
        """What ``text`` asks for. Nobody holds on to it, which may be megabytes, while the task is made durable."""
        body = decode_task(text)
        function = self._store.function(body.function_name)
        return task_draft(body, function, self._clock(), caller_of(request)), idempotency_key(request, text)

    async def listing(self, request: web.Request) -> web.StreamResponse:
        """A page of the tasks that a query finds."""
        query = query_of(request)
        found = await self._store.find(
            query, on_behalf_of=caller_of(request).key, apart_from_bytes=long_data_from_bytes(query)
        )
        return await self._pages.response(request, query, found, task_view)

    async def show(self, request: web.Request) -> web.StreamResponse:
        """The task; if the request would wait, as soon as it is final, or as it is when the time is over."""
        task_id, longest_s = object_id(request), wait_s(request)
        task = await self._store.get(task_id)
        if longest_s and task.status not in FINAL:
            ended = await self._waits.outcome(self._store.ended(task_id), longest_s)
            task = ended or await self._store.get(task_id)
        return JsonResponse(encode_task(task))

    async def cancel(self, request: web.Request) -> web.StreamResponse:
        """Cancels a task that has not started."""
        await self._store.cancel(object_id(request))
        return json_response(AffectedRecords())

    async def delete(self, request: web.Request) -> web.StreamResponse:
        """Deletes a task that has ended, and its log lines, for good."""
        task = await self._store.get(object_id(request))
        if task.status not in FINAL:
            message = f"Task {task.id} is {task.status}; only a task that has ended can be deleted."
            raise ContractError(errors.ILLEGAL_STATE, message)
        return json_response(AffectedRecords(await self._store.delete_tasks((task.id,))))
