"""Endpoints: what answers where, who may call it, and what the API's description says of it.

Every path answers with and without a trailing slash.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from aiohttp import web
from aiohttp.typedefs import Handler

from taskd.api.http.anonymous_bodies import ANONYMOUS_BODIES, AnonymousBodies
from taskd.api.http.auditing import Audited, Auditor
from taskd.api.http.authorization import CALLER, Authenticate, ask_nobody, require
from taskd.model import errors
from taskd.model.caller import ANONYMOUS
from taskd.model.errors import ContractError, ErrorKind
from taskd.model.permissions import Permission

_ENDINGS = ("", "/")


class Route(NamedTuple):
    """One endpoint: what answers ``method`` on ``path``, which is relative to its mount, without a trailing slash.

    The API's description is made from it. Path parameters, and the errors that follow from credentials, a body, a
    query or an id, need no mention; the longer description is the handler's docstring.
    """

    method: str
    path: str
    handler: Handler
    permission: Permission | None
    """Checked before the handler runs, so before it can tell whether anything exists; ``None`` asks for none."""
    tag: str
    """The chapter of the description that it stands in."""
    summary: str
    """What a caller wants of it, in a few words."""
    response: Any = None
    """The type that a successful response is encoded from; ``None`` if that is not JSON of ours."""
    body: Any = None
    """The type that the body is decoded to; ``None`` if there is none."""
    is_body_optional: bool = False
    takes_query: bool = False
    """Whether the query string is RQL."""
    is_idempotent: bool = False
    """Whether it looks at the header ``Idempotency-Key``."""
    can_wait: bool = False
    """Whether it takes the parameter ``wait``, and the preference of that name."""
    also_needs: tuple[Permission, ...] = ()
    """Asked for besides ``permission``."""
    obeys_permission_mode: bool = False
    """Whether the permission mode of the function in the path may ask for less than ``permission``.

    Then the handler checks, with :func:`taskd.api.http.authorization.called_function`. A request without any
    credentials reaches it as ``ANONYMOUS``; wrong ones never do.
    """
    audited: Audited | None = None
    """What the audit trail says of it; ``None`` if nothing."""
    is_page: bool = False
    """Whether it is a page without data, which pages of other sites may link to."""
    errors: tuple[ErrorKind, ...] = ()
    """Errors of its own."""
    error_responses: Mapping[int, Any] = MappingProxyType({})
    """The types of error responses that have a shape of their own, by status."""


class Mount(NamedTuple):
    """Routes below a path, and who says who calls them; ``None`` if nobody is asked for credentials, ever."""

    base: str
    routes: Sequence[Route]
    authenticate: Authenticate | None


def mounted(mount: Mount, anonymous_bodies: AnonymousBodies, auditor: Auditor | None = None) -> Iterator[web.RouteDef]:
    """The routes of ``mount``, each with both endings. Methods of one path stay together: they are found faster."""
    authenticate = mount.authenticate or ask_nobody
    for ending in _ENDINGS:
        for route in mount.routes:
            answer = _recorded(route, auditor)
            guarded = _guarded(route, answer, authenticate, anonymous_bodies)
            yield web.route(route.method, mount.base + route.path + ending, guarded)


def page_paths(mounts: Iterable[Mount]) -> frozenset[str]:
    """The paths of pages without data."""
    return frozenset(
        mount.base + route.path + ending
        for mount in mounts
        for route in mount.routes
        if route.is_page
        for ending in _ENDINGS
    )


def _recorded(route: Route, auditor: Auditor | None) -> Handler:
    """The handler of ``route``, with an entry in the audit trail where it has one."""
    audited = route.audited
    if audited is None or auditor is None:
        return route.handler

    async def handler(request: web.Request) -> web.StreamResponse:
        return await auditor.answer(request, audited, route.handler)

    return handler


def _guarded(route: Route, answer: Handler, authenticate: Authenticate, anonymous_bodies: AnonymousBodies) -> Handler:
    required = _required(route)

    async def handler(request: web.Request) -> web.StreamResponse:
        try:
            caller = await authenticate(request)
        except ContractError as error:
            if not route.obeys_permission_mode or error.kind is not errors.NOT_AUTHENTICATED:
                raise
            caller = ANONYMOUS
        request[CALLER] = caller
        if not caller.is_authenticated:
            request[ANONYMOUS_BODIES] = anonymous_bodies
        for permission in required:
            require(caller, permission)
        return await answer(request)

    return handler


def _required(route: Route) -> tuple[Permission, ...]:
    """What callers need whatever the path names."""
    if route.permission is None or route.obeys_permission_mode:
        return route.also_needs
    return (route.permission, *route.also_needs)
