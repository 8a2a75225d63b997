"""The audit trail: who did what to the service."""

import asyncio
from collections.abc import Iterator

from aiohttp import web

from taskd.api.http.pages import Pages, RecordPage
from taskd.api.http.request_parts import query_of
from taskd.api.http.routing import Route
from taskd.audit.entry import AuditEntryView, view
from taskd.audit.search import find
from taskd.audit.trail import AuditTrail
from taskd.model.permissions import Permission
from taskd.store.base import Page


class AuditHandlers:
    """Answers under ``/audit``."""

    def __init__(self, trail: AuditTrail, pages: Pages) -> None:
        self._trail = trail
        self._pages = pages
        self._turn = asyncio.Lock()

    def routes(self) -> Iterator[Route]:
        """The routes below ``/taskd/v1``."""
        yield Route(
            *("GET", "/audit", self.listing, Permission.VIEW_AUDIT),
            tag="Audit trail",
            summary="List what was done",
            response=RecordPage[AuditEntryView],
            takes_query=True,
        )

    async def listing(self, request: web.Request) -> web.StreamResponse:
        """A page of the entries that a query finds: who cancelled, deleted, granted, deployed, logged in or looked at
        environment variables. They are read one query at a time, with a time limit."""
        query = query_of(request)
        async with self._turn:
            found = await asyncio.to_thread(find, self._trail.files, query)
        return await self._pages.response(request, query, Page(found.rows, found.total), view)
