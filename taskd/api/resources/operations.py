"""The operations resource: the same done to all tasks that match."""

from collections.abc import Iterator

from aiohttp import web

from taskd.api.http.auditing import Audited, note
from taskd.api.http.authorization import caller_of, require
from taskd.api.http.json_response import JsonResponse, json_response
from taskd.api.http.notices import scan_notice
from taskd.api.http.pages import Pages, RecordPage
from taskd.api.http.request_body import read_body
from taskd.api.http.request_parts import idempotency_key, object_id, query_of
from taskd.api.http.routing import Route
from taskd.api.validation.operation_body import OperationBody, decode_operation, filter_of, operation_draft
from taskd.audit.entry import Action
from taskd.maintenance.erasure import is_about_schedules, refuse_running, remove_schedules
from taskd.model import errors
from taskd.model.caller import Caller
from taskd.model.limits import OPERATIONS_KEPT, OPERATIONS_RUNNING_MAX
from taskd.model.operation import (
    PERMISSIONS,
    Operation,
    OperationAction,
    OperationDraft,
    made_before,
    require_room,
)
from taskd.model.operation_view import OperationView, dry_run_view, operation_view
from taskd.model.permissions import Permission
from taskd.rql.query import Node, Query
from taskd.store.base import TaskStore

_FIRST = 10
"""Matches that a dry run shows."""
_ANY_DATA_BYTES = 1
_EVERY = OPERATIONS_KEPT + OPERATIONS_RUNNING_MAX


class OperationHandlers:
    """Answers everything under ``/operations``."""

    def __init__(self, store: TaskStore, body_max_bytes: int, pages: Pages) -> None:
        self._store = store
        self._body_max_bytes = body_max_bytes
        self._pages = pages

    def routes(self) -> Iterator[Route]:
        """The routes under the base path of what is ours."""
        yield Route(
            *("GET", "/operations", self.listing, Permission.VIEW_TASKS),
            tag="Operations",
            summary="List operations",
            response=RecordPage[OperationView],
            takes_query=True,
        )
        yield Route(
            *("POST", "/operations", self.create, Permission.VIEW_TASKS),
            tag="Operations",
            summary="Do something to all tasks that match",
            body=OperationBody,
            response=OperationView,
            is_idempotent=True,
            errors=(errors.INVALID_RQL, errors.LONG_QUERY, errors.ILLEGAL_STATE),
            audited=Audited(Action.OPERATIONS_CREATE, "operation"),
        )
        yield Route(
            *("GET", "/operations/{id}", self.show, Permission.VIEW_TASKS),
            tag="Operations",
            summary="Look at an operation",
            response=OperationView,
        )
        yield Route(
            *("POST", "/operations/{id}/abort", self.abort, Permission.VIEW_TASKS),
            tag="Operations",
            summary="Abort an operation",
            response=OperationView,
            errors=(errors.ILLEGAL_STATE,),
            audited=Audited(Action.OPERATIONS_ABORT, "operation", "id"),
        )

    async def listing(self, request: web.Request) -> web.StreamResponse:
        """A page of the operations that a query finds: those that run, and those that ended not long ago."""
        query = query_of(request)
        return await self._pages.response(request, query, await self._store.find_operations(query), operation_view)

    async def create(self, request: web.Request) -> web.StreamResponse:
        """An operation on all tasks that match now: what happens later changes nothing of that.

        It goes on by itself, over restarts, too; each task is decided again when its turn comes. `cancel` cancels what
        is still `new` then, and needs CANCEL_TASKS besides; `replay` makes a new task of each that has ended, and needs
        CREATE_TASKS; `delete` deletes what has ended for good, with its log lines, and needs DELETE_TASKS. `erase`
        needs both that and CANCEL_TASKS, and is refused while a match runs. It removes the schedules that the filter
        finds by their `data`, for which it needs DELETE_TASK_SCHEDULE, cancels what waits, deletes what has ended and
        what that was retried or meanwhile replayed as, and is `done` when no file of the data directory has anything
        of it any more; of the filter a hash stays. Backups and logs elsewhere are out of its reach. With `dryRun`
        nothing is done: the answer has the number of matches and the first ten.
        """
        text = await read_body(request, self._body_max_bytes)
        body, caller = decode_operation(text), caller_of(request)
        where = filter_of(body)
        _require_all(caller, body.action, where)
        draft = operation_draft(body, caller, idempotency_key(request, text))
        note(request, action=body.action.value, **({"dryRun": "true"} if body.dry_run else {}))
        if body.dry_run:
            return await self._tried(draft, where, caller.key)
        operation = await self._begun_before(draft, where) if body.action is OperationAction.ERASE else None
        if operation is None:
            operation = await self._store.add_operation(draft, where, on_behalf_of=caller.key)
        note(request, operation.id, matched=str(operation.matched))
        return json_response(operation_view(operation))

    async def _begun_before(self, draft: OperationDraft, where: Node) -> Operation | None:
        """The erasure that was made under the same key before; else removes schedules, unless none may begin now."""
        kept = (await self._store.find_operations(Query(limit=_EVERY, skip_count=True))).rows
        before = None if draft.key is None else made_before(draft.key, kept, self._store.now_ms())
        if before is None:
            require_room(kept)
            await refuse_running(self._store, where)
            await remove_schedules(self._store, where)
        return before

    async def _tried(self, draft: OperationDraft, where: Node, on_behalf_of: str | None) -> JsonResponse:
        query = Query(where, limit=_FIRST)
        found = await self._store.find(query, on_behalf_of=on_behalf_of, apart_from_bytes=_ANY_DATA_BYTES)
        response = json_response(dry_run_view(draft.action.value, draft.rql, found.total or 0, found.rows))
        if found.scanned:
            response.headers.update(scan_notice(query, None))
        return response

    async def show(self, request: web.Request) -> web.StreamResponse:
        """An operation, and how far it is."""
        return json_response(operation_view(await self._store.operation(object_id(request))))

    async def abort(self, request: web.Request) -> web.StreamResponse:
        """No more tasks have their turn; what was done stays. It needs the permission of the action besides."""
        operation = await self._store.operation(object_id(request))
        _require_all(caller_of(request), operation.action)
        return json_response(operation_view(await self._store.abort_operation(operation.id)))


def _require_all(caller: Caller, action: OperationAction, where: Node | None = None) -> None:
    """Raises ``ContractError`` (``NO_PERMISSION``) unless the caller may do all that ``action`` does."""
    for permission in PERMISSIONS[action]:
        require(caller, permission)
    if action is OperationAction.ERASE and where is not None and is_about_schedules(where):
        require(caller, Permission.DELETE_TASK_SCHEDULE)
