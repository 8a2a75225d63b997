"""The tasks resource: create, list, cancel."""

from collections.abc import Iterator
from typing import Any

import msgspec
import orjson
from aiohttp import web
from msgspec import UNSET, Raw

from taskd.api.answers import AffectedRecords, Page, PageInfo, json_answer, json_response
from taskd.api.bodies import decode_task
from taskd.api.drafting import draft_task
from taskd.api.payload import read_body
from taskd.api.requests import object_id, query_of
from taskd.api.routing import Route
from taskd.model.clock import Clock
from taskd.model.permissions import Permission
from taskd.model.task import Task
from taskd.model.wire import TaskView, encode_task, task_view
from taskd.rql.filtertext import filter_json
from taskd.rql.query import Path
from taskd.rql.select import project
from taskd.store.base import TaskStore

_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode


class TaskHandlers:
    """Answers for tasks, under the base path itself."""

    def __init__(self, store: TaskStore, clock: Clock, body_max_bytes: int) -> None:
        self._store = store
        self._clock = clock
        self._body_max_bytes = body_max_bytes

    def routes(self) -> Iterator[Route]:
        """The routes under the base path."""
        yield Route("GET", "", self.listing, Permission.VIEW_TASKS)
        yield Route("POST", "", self.create, Permission.CREATE_TASKS)
        yield Route("POST", "/{id}/cancel", self.cancel, Permission.CANCEL_TASKS)

    async def create(self, request: web.Request) -> web.Response:
        """A new task; it is durable when the answer leaves."""
        body = decode_task(await read_body(request, self._body_max_bytes))
        draft = draft_task(body, self._store.function(body.function_name), self._clock())
        [task] = await self._store.add((draft,))
        return json_response(encode_task(task))

    async def listing(self, request: web.Request) -> web.Response:
        """A page of the tasks that a query finds."""
        query = query_of(request)
        found = await self._store.find(query)
        total = UNSET if found.total is None else found.total
        info = PageInfo(offset=query.offset, limit=query.limit, total=total)
        rows = [_row(task, query.select) for task in found.rows]
        return json_answer(Page(query=filter_json(query), page=info, data=rows))

    async def cancel(self, request: web.Request) -> web.Response:
        """Calls a task off that has not started."""
        await self._store.cancel(object_id(request))
        return json_answer(AffectedRecords())


def _row(task: Task, select: tuple[Path, ...]) -> TaskView | dict[str, Any]:
    """``task`` as a listing shows it. Only fields that are looked into are parsed; all else stays as it is."""
    if not select:
        return task_view(task)
    looked_into = {path[0] for path in select if len(path) > 1}
    fields = _decode_fields(encode_task(task))
    record = {name: orjson.loads(memoryview(raw)) if name in looked_into else raw for name, raw in fields.items()}
    return project(record, select)
