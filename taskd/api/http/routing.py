"""Routes: every path answers with and without a trailing slash, to those who may call it."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from aiohttp import web
from aiohttp.typedefs import Handler

from taskd.api.http.authorization import CALLER, Authenticate, require
from taskd.model import errors
from taskd.model.caller import ANONYMOUS
from taskd.model.errors import ContractError
from taskd.model.permissions import Permission


class Route(NamedTuple):
    """What answers ``method`` on ``path``; a path is relative to the base path and has no trailing slash.

    ``permission`` is checked before the handler runs, so before it can tell whether anything exists. ``None`` is
    for handlers that decide by themselves (a function's permission mode, say).
    """

    method: str
    path: str
    handler: Handler
    permission: Permission | None
    anonymous: bool = False
    """Whether a request without any credentials reaches the handler, as ``ANONYMOUS``; wrong ones never do."""


class Mount(NamedTuple):
    """Routes below a path, and who says who calls them."""

    base: str
    routes: Sequence[Route]
    authenticate: Authenticate


def mounted(base: str, routes: Sequence[Route], authenticate: Authenticate) -> Iterator[web.RouteDef]:
    """``routes`` below ``base``, each with both endings. Methods of one path stay together: they are found faster."""
    for ending in ("", "/"):
        for route in routes:
            yield web.route(route.method, base + route.path + ending, _guarded(route, authenticate))


def _guarded(route: Route, authenticate: Authenticate) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        try:
            caller = await authenticate(request)
        except ContractError as error:
            if not route.anonymous or error.kind is not errors.NOT_AUTHENTICATED:
                raise
            caller = ANONYMOUS
        request[CALLER] = caller
        if route.permission is not None:
            require(caller, route.permission)
        return await route.handler(request)

    return handler
