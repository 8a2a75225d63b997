"""What the API says of itself: the OpenAPI document, and the same document as a page for people."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import orjson
from aiohttp import web

from taskd.api.http.json_response import JsonResponse
from taskd.api.http.routing import Mount, Route
from taskd.api.openapi.document import Json, openapi_document
from taskd.api.openapi.html_page import render_page

_PAGE_HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'"}
"""The page holds all it needs: nothing in it may run, nor be fetched."""


class DocHandlers:
    """Answers with the description of the routes of ``mounts``, and of its own. Made when it is first asked for."""

    def __init__(self, mounts: Sequence[Mount]) -> None:
        self._mounts = mounts

    def routes(self) -> Iterator[Route]:
        """The routes under the base path."""
        yield Route(
            *("GET", "/openapi.json", self.document, None),
            tag="Service",
            summary="Read this document",
            response=dict[str, Any],
        )
        yield Route(
            *("GET", "/docs", self.page, None), tag="Service", summary="Read this document as a page", is_page=True
        )

    async def document(self, request: web.Request) -> web.StreamResponse:
        """An OpenAPI 3.1 document, made from the code that answers."""
        return JsonResponse(self._document_text)

    async def page(self, request: web.Request) -> web.StreamResponse:
        """The same document in HTML, for reading."""
        return web.Response(text=self._page_text, content_type="text/html", headers=_PAGE_HEADERS)

    @cached_property
    def _document(self) -> Json:
        return openapi_document(self._mounts)

    @cached_property
    def _document_text(self) -> bytes:
        return orjson.dumps(self._document)

    @cached_property
    def _page_text(self) -> str:
        return render_page(self._document)
