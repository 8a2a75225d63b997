"""CORS: lets the pages of configured origins read what they are answered, and ask beforehand (preflights).

Which pages may call at all is told by :mod:`taskd.api.http.request_source`; here their browsers are told so, too. A
preflight is answered here, whatever it asks for: none reaches an API function. Cookies are not taken, so browsers are
not told that they may send any.
"""

import re

from aiohttp import hdrs, web
from multidict import istr

from taskd.api.http.notices import NOTICE_HEADER
from taskd.api.http.origins import Origins
from taskd.api.http.route_table import RequestHandler

ALLOWED_ORIGIN = web.RequestKey("allowed_origin", str)
"""The origin of the page that sent the request, where it is one of those that are configured."""

_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
_HEADERS = "authorization, content-type, x-user-agent"
"""What the JavaScript SDK sends, for a preflight that does not say."""
_HEADER_NAMES = re.compile(r"[A-Za-z0-9_-]{1,64}(?: ?, ?[A-Za-z0-9_-]{1,64}){0,31}")
_MAX_AGE_S = 600
_PRIVATE_NETWORK = "Access-Control-{}-Private-Network"


class CrossOrigin:
    """Answers every request as ``router`` does, those of pages of ``origins`` so that these may read the answer."""

    def __init__(self, origins: Origins, router: RequestHandler) -> None:
        self._origins = origins
        self._router = router

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """The response."""
        origin = request.headers.get(hdrs.ORIGIN, "").lower()
        if not self._origins.has(origin):
            return await self._router(request)
        request[ALLOWED_ORIGIN] = origin
        if request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers:
            return _preflight(request)
        response = await self._router(request)
        allow_origin(request, response)
        return response


def allow_origin(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Lets the page that sent ``request`` read ``response``, if it is of a configured origin. Call it before the head
    is sent; a response that has left already stays as it is."""
    origin = request.get(ALLOWED_ORIGIN)
    if origin is None or response.prepared:
        return
    headers = response.headers
    headers.setdefault(hdrs.ACCESS_CONTROL_ALLOW_ORIGIN, origin)
    headers.setdefault(hdrs.ACCESS_CONTROL_EXPOSE_HEADERS, f"{NOTICE_HEADER}, {hdrs.RETRY_AFTER}")
    varies = headers.get(hdrs.VARY)
    if varies is None or hdrs.ORIGIN.lower() not in varies.lower():
        headers[hdrs.VARY] = hdrs.ORIGIN if varies is None else f"{varies}, {hdrs.ORIGIN}"


def _preflight(request: web.BaseRequest) -> web.Response:
    """Whatever headers are asked for may be sent: API functions have ones of their own."""
    wanted = request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_HEADERS, _HEADERS)
    headers = {
        hdrs.ACCESS_CONTROL_ALLOW_METHODS: _METHODS,
        hdrs.ACCESS_CONTROL_ALLOW_HEADERS: wanted if _HEADER_NAMES.fullmatch(wanted) else _HEADERS,
        hdrs.ACCESS_CONTROL_MAX_AGE: str(_MAX_AGE_S),
    }
    if request.headers.get(_PRIVATE_NETWORK.format("Request")) == "true":
        headers[istr(_PRIVATE_NETWORK.format("Allow"))] = "true"
    response = web.Response(status=204, headers=headers)
    allow_origin(request, response)
    return response
