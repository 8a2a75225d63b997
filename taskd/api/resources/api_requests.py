"""API requests: what calls of API functions left behind, and what the functions printed meanwhile."""

from collections.abc import Iterator

from aiohttp import web

from taskd.api.http.authorization import caller_of
from taskd.api.http.pages import LogPage, Pages, RecordPage, log_page_response
from taskd.api.http.request_parts import query_of
from taskd.api.http.routing import Route
from taskd.model import errors
from taskd.model.permissions import Permission
from taskd.model.wire import ApiRequestView, LogLineView, api_request_view
from taskd.store.base import TaskStore


class ApiRequestHandlers:
    """Answers everything under ``/apiRequests``."""

    def __init__(self, store: TaskStore, pages: Pages) -> None:
        self._store = store
        self._pages = pages

    def routes(self) -> Iterator[Route]:
        """The routes under the base path."""
        yield Route(
            *("GET", "/apiRequests", self.listing, Permission.VIEW_API_FUNCTION_REQUESTS),
            tag="API functions",
            summary="List API requests",
            response=RecordPage[ApiRequestView],
            takes_query=True,
        )
        yield Route(
            *("GET", "/apiRequests/{id}/logs", self.logs, Permission.VIEW_API_FUNCTION_REQUEST_LOGS),
            tag="API functions",
            summary="Read an API request's log",
            response=LogPage[LogLineView],
            takes_query=True,
            errors=(errors.NO_API_REQUEST_LOGS,),
        )

    async def listing(self, request: web.Request) -> web.StreamResponse:
        """A page of the API requests that a query finds."""
        query = query_of(request)
        found = await self._store.find_api_requests(query, on_behalf_of=caller_of(request).key)
        return await self._pages.response(request, query, found, api_request_view)

    async def logs(self, request: web.Request) -> web.StreamResponse:
        """A page of the lines that were printed during one API request."""
        return await log_page_response(request, self._store, self._store.api_request, errors.NO_API_REQUEST_LOGS)
