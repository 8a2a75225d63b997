"""The audit trail of requests: what must be known of them afterwards is durable before it is done."""

from collections.abc import Awaitable, Callable
from enum import Enum, auto
from typing import NamedTuple

from aiohttp import web
from aiohttp.typedefs import Handler

from taskd.api.http.authorization import caller_of
from taskd.api.http.client_address import ClientAddresses
from taskd.audit.entry import Action, Entry, plain
from taskd.audit.trail import AuditTrail, Begun, failed

_NOTED = web.RequestKey("audit_note", Entry)


class _Recorder:
    """Makes the entry of one request when it is told to."""

    def __init__(self, begin: Callable[[], Awaitable[Begun]]) -> None:
        self._begin = begin
        self.begun: Begun | None = None

    async def record(self) -> None:
        """The entry is durable on return."""
        self.begun = await self._begin()


_RECORDER = web.RequestKey("audit_recorder", _Recorder)


class When(Enum):
    """When an entry is made."""

    BEFORE = auto()
    """Before the handler does anything; its outcome is added afterwards."""
    ONCE_ADMITTED = auto()
    """When the handler calls :func:`record_now`, once it knows what it is to do and before it does any of it. Its
    outcome is added afterwards."""
    IF_NOTED = auto()
    """Before the answer leaves, if the handler has called :func:`note`: for what is done by answering."""


class Audited(NamedTuple):
    """What the entry of a request says it did, and to what."""

    action: Action
    subject_type: str
    named_by: str = ""
    """The parameter of the path that says to which; empty if the handler does, by :func:`note`."""
    when: When = When.BEFORE


class Auditor:
    """Keeps entries of requests in ``trail``."""

    def __init__(self, trail: AuditTrail, addresses: ClientAddresses) -> None:
        self._trail = trail
        self._addresses = addresses

    async def answer(self, request: web.Request, audited: Audited, handler: Handler) -> web.StreamResponse:
        """What ``handler`` answers, not without an entry.

        :raises ContractError: ``UNAVAILABLE`` if no entry can be kept; then nothing was done, or told.
        """
        if audited.when is When.BEFORE:
            return await self._recorded_before(request, audited, handler)
        if audited.when is When.ONCE_ADMITTED:
            return await self._recorded_once_admitted(request, audited, handler)
        response = await handler(request)
        if (noted := request.get(_NOTED)) is not None:
            await self._trail.record(self._entry(request, audited, noted))
        return response

    async def _recorded_before(self, request: web.Request, audited: Audited, handler: Handler) -> web.StreamResponse:
        begun = await self._trail.begin(self._entry(request, audited, Entry("")))
        request[_NOTED] = begun.entry
        try:
            response = await handler(request)
        except Exception as error:
            await self._trail.end(begun, failed(error))
            raise
        await self._trail.end(begun)
        return response

    async def _recorded_once_admitted(
        self, request: web.Request, audited: Audited, handler: Handler
    ) -> web.StreamResponse:
        async def begin() -> Begun:
            begun = await self._trail.begin(self._entry(request, audited, note(request)))
            request[_NOTED] = begun.entry
            return begun

        recorder = request[_RECORDER] = _Recorder(begin)
        try:
            response = await handler(request)
        except Exception as error:
            if recorder.begun is not None:
                await self._trail.end(recorder.begun, failed(error))
            raise
        if recorder.begun is not None:
            await self._trail.end(recorder.begun)
        return response

    def _entry(self, request: web.Request, audited: Audited, noted: Entry) -> Entry:
        caller = caller_of(request)
        named = request.match_info[audited.named_by] if audited.named_by else ""
        return Entry(
            "",
            action=audited.action.value,
            user_id=noted.user_id or plain(caller.user_id or ""),
            application_id=noted.application_id or caller.application_id or "",
            token_id=caller.token_id or "",
            address=self._addresses.of(request),
            subject_type=noted.subject_type or audited.subject_type,
            subject_id=noted.subject_id or plain(named),
            detail=noted.detail,
        )


async def record_now(request: web.Request, subject_id: str, **detail: str) -> None:
    """The entry of ``request``, with this in it, is durable on return, where there is an audit trail.

    :raises ContractError: ``UNAVAILABLE`` if it cannot be kept.
    """
    note(request, subject_id, **detail)
    if (recorder := request.get(_RECORDER)) is not None:
        await recorder.record()


def note(request: web.Request, subject_id: str = "", **detail: str) -> Entry:
    """Adds to the entry of ``request`` what the path does not say; gives the entry."""
    if (entry := request.get(_NOTED)) is None:
        entry = request[_NOTED] = Entry("")
    entry.subject_id = plain(subject_id) or entry.subject_id
    entry.detail |= {name: plain(text) for name, text in detail.items()}
    return entry
