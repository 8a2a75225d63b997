"""Creating many tasks at once: all of them or none, in one durable step."""

import asyncio
import re
from collections.abc import Iterator
from itertools import islice

import msgspec
from aiohttp import web
from msgspec import UNSET, Raw, Struct, UnsetType

from taskd.api.http.authorization import caller_of
from taskd.api.http.json_response import json_response
from taskd.api.http.request_body import read_body
from taskd.api.http.request_parts import idempotency_key
from taskd.api.http.routing import Route
from taskd.api.http.unique_answers import created
from taskd.api.validation.task_body import TaskBody, decode_task, task_draft
from taskd.model import errors, limits
from taskd.model.caller import Caller
from taskd.model.clock import Clock
from taskd.model.errors import ContractError
from taskd.model.permissions import Permission
from taskd.model.task import TaskDraft
from taskd.model.uniqueness import UniqueConflictError
from taskd.store.base import TaskStore

_DRAFTS_PER_TURN = 500
"""How many tasks are looked at before others get their turn of the event loop."""

_COMMAS_MAX = 500_000
"""In an array that is looked at element by element, to say which of them is wrong."""
_LINE = re.compile(rb"[^\S\n]*+[^\s][^\n]*+")
"""One that is not empty."""
_UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_array = msgspec.json.Decoder(list[TaskBody])
_line = msgspec.json.Decoder(TaskBody)
_raw_array = msgspec.json.Decoder(list[Raw])


class CreatedIds(Struct):
    """The ids of the tasks created, in the order of the request."""

    ids: list[str]
    conflicts: list[int] | UnsetType = UNSET
    """The places, from 0, of tasks that were there already and have the unique key of what was asked for."""


class BulkHandlers:
    """Answers for ``/bulk``."""

    def __init__(self, store: TaskStore, clock: Clock, body_max_bytes: int) -> None:
        self._store = store
        self._clock = clock
        self._body_max_bytes = body_max_bytes

    def routes(self) -> Iterator[Route]:
        """The routes under the base path."""
        yield Route(
            *("POST", "/bulk", self.create, Permission.CREATE_TASKS),
            tag="Tasks",
            summary="Create many tasks",
            body=list[TaskBody],
            response=CreatedIds,
            is_idempotent=True,
            errors=(errors.ALREADY_EXISTS,),
        )

    async def create(self, request: web.Request) -> web.StreamResponse:
        """New tasks, durable together when the response leaves; it gives their ids, in the order of the request.

        ``conflicts`` are the places of those that were not made since another task has their ``unique`` key: the ids
        there are of who has it.
        """
        text = await read_body(request, self._body_max_bytes)
        key = idempotency_key(request, text)
        drafts = await self._drafts(decode_tasks(text), caller_of(request))
        del text  # it may be megabytes, and what it asks for is in the drafts
        try:
            results = await created(self._store, drafts, key)
        except UniqueConflictError as error:
            raise _indexed(error.place, error) from None
        conflicts = [place for place, result in enumerate(results) if result.conflict]
        return json_response(CreatedIds([result.task.id for result in results], conflicts or UNSET))

    async def _drafts(self, bodies: list[TaskBody], caller: Caller) -> list[TaskDraft]:
        now_ms = self._clock()
        drafts: list[TaskDraft] = []
        for body in bodies:
            try:
                drafts.append(task_draft(body, self._store.function(body.function_name), now_ms, caller))
            except ContractError as error:
                raise _indexed(len(drafts), error) from None
            if len(drafts) % _DRAFTS_PER_TURN == 0:
                await asyncio.sleep(0)
        return drafts


def decode_tasks(text: bytes) -> list[TaskBody]:
    """The tasks in ``text``: a JSON array of objects, or objects on a line each (NDJSON).

    :raises ContractError: what is wrong with one of them, with its ``index``; ``ILLEGAL_ARGUMENT`` for none at all or
        too many.
    """
    is_array = text.lstrip()[:1] == b"["
    if not is_array and text.count(b"\n") >= limits.BULK_TASKS_MAX:  # else there cannot be too many
        _require_some(sum(1 for _ in islice(_LINE.finditer(text), limits.BULK_TASKS_MAX + 1)))
    try:
        bodies = _array.decode(text) if is_array else _line.decode_lines(text)
    except _UNDECODABLE as error:
        bodies = _decode_one_by_one(_elements(text, error) if is_array else _lines(text))
    _require_some(len(bodies))
    return bodies


def _require_some(count: int) -> None:
    if not 1 <= count <= limits.BULK_TASKS_MAX:
        many = f"over {limits.BULK_TASKS_MAX}" if count else "no"
        message = f"There are {many} tasks in the body; send from 1 to {limits.BULK_TASKS_MAX}."
        raise ContractError(errors.ILLEGAL_ARGUMENT, message)


def _decode_one_by_one(texts: list[bytes]) -> list[TaskBody]:
    """For what did not decode as a whole: finds out which task is to blame."""
    _require_some(len(texts))
    bodies: list[TaskBody] = []
    for text in texts:
        try:
            bodies.append(decode_task(text))
        except ContractError as error:
            raise _indexed(len(bodies), error) from None
    return bodies


def _elements(text: bytes, error: Exception) -> list[bytes]:
    """The elements of an array that did not decode, for which ``error`` is the reason."""
    if text.count(b",") > _COMMAS_MAX:  # as many elements at worst, 100 bytes of memory and more for each
        raise ContractError(errors.BODY_FORMAT, f"The body is no array of tasks: {error}.")
    try:
        return [bytes(raw) for raw in _raw_array.decode(text)]
    except _UNDECODABLE as reason:
        raise ContractError(errors.BODY_FORMAT, f"The body begins like a JSON array, but is none: {reason}.") from None


def _lines(text: bytes) -> list[bytes]:
    return [line for line in text.split(b"\n") if line and not line.isspace()]


def _indexed(index: int, error: ContractError) -> ContractError:
    """``error``, said of the task at ``index``."""
    return ContractError(error.kind, f"Task {index}: {error.message}", index=index, **error.extra)
