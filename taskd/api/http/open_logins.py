"""Logging in where nobody is asked who they are: whatever is sent is taken, so that clients that log in first go on.

Who proves to be somebody logs in as that. All others get what proves nothing, here or in a service that asks.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from aiohttp import web

from taskd.api.http.account_views import ANYBODY
from taskd.api.http.json_response import json_response
from taskd.api.http.routing import Route
from taskd.model.errors import ContractError

_APPLICATION_ID = "0" * 24
_NOTHING = "anybody"
_EXPIRES_IN_S = 3600
_ANSWERS: dict[str, dict[str, Any]] = {
    "/oauth1/tokens": {
        "id": ANYBODY.id,
        "token": _NOTHING,
        "tokenSecret": _NOTHING,
        "userId": ANYBODY.id,
        "applicationId": _APPLICATION_ID,
    },
    "/oauth2/tokens": {
        "access_token": _NOTHING,
        "token_type": "Bearer",
        "expires_in": _EXPIRES_IN_S,
        "refresh_token": _NOTHING,
        "user_id": ANYBODY.id,
        "application_id": _APPLICATION_ID,
    },
}


def open_logins(routes: Iterable[Route]) -> Iterator[Route]:
    """``routes`` that log in, each of which takes everything."""
    for route in routes:
        yield route._replace(handler=_taking_everything(route))


def _taking_everything(route: Route) -> Any:
    async def handler(request: web.Request) -> web.StreamResponse:
        try:
            response = await route.handler(request)
        except ContractError:
            return json_response(_ANSWERS[route.path])
        return response if response.status == web.HTTPOk.status_code else json_response(_ANSWERS[route.path])

    handler.__doc__ = route.handler.__doc__
    return handler
