"""Where a request may come from: refuses what a web page of another origin has a browser send.

Any page can make the browser of somebody who may reach the service send requests to it. What gives them away are
headers that a page cannot set: ``Host``, ``Origin`` and ``Sec-Fetch-Site``. Credentials are looked at later, and
elsewhere: here is only told whether a request is one that nobody but a page would have sent.
"""

import logging
from collections.abc import Collection

from aiohttp import hdrs, web

from taskd.api.http.host_names import HostNames
from taskd.api.http.origins import Origins, is_same_host
from taskd.api.settings import ServerSettings
from taskd.model import errors
from taskd.model.errors import ContractError

log = logging.getLogger(__name__)

_SEC_FETCH_SITE = "Sec-Fetch-Site"
_FROM_OURSELVES = frozenset({"same-origin", "none"})
"""``none`` is what a person asked for: an address typed, or a bookmark."""
_SAFE_METHODS = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})
_FORM_TYPES = frozenset({"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"})
"""What any page may send to any server without being allowed to; a body without a type is sent so, too."""
_CREDENTIALS = ("bearer ", "oauth ")
_KNOWN_HOSTS_MAX = 64
_HOSTS_LOGGED_MAX = 16
_QUOTED_MAX_CHARS = 100


class RequestSource:
    """Tells which requests come from a page that may not call."""

    def __init__(
        self,
        settings: ServerSettings,
        *,
        pages: Collection[str],
        own_bodies: str,
        logins: tuple[str, ...],
        asks_callers: bool,
    ) -> None:
        """``pages`` are the paths of pages without data, which other sites may link to.

        Bodies below the path ``own_bodies`` are of any type: what they mean is up to those who answer there. Below
        ``logins`` credentials are in the bodies. ``asks_callers`` says whether callers must show who they are.
        """
        listen_host = settings.listen.rpartition(":")[0].strip("[]")
        self._hosts = HostNames(listen_host, settings.hosts or ())
        self.origins = Origins(settings.origins)
        self._pages = pages
        self._own_bodies = own_bodies
        self._logins = logins
        self._credentials_do = asks_callers and settings.hosts is None
        self._known_hosts: set[str | None] = {None}  # HTTP/1.0, which no browser speaks
        self._logged_hosts: set[str] = set()

    def refusal(self, request: web.BaseRequest) -> ContractError | None:
        """Why ``request`` is refused; ``None`` if it is not."""
        headers = request.headers
        host = headers.get(hdrs.HOST)
        if host not in self._known_hosts and (refused := self._host_refusal(request, host or "")):
            return refused
        if hdrs.ORIGIN in headers or _SEC_FETCH_SITE in headers:
            return self._page_refusal(request, host or "")
        return None

    def _host_refusal(self, request: web.BaseRequest, host: str) -> ContractError | None:
        if self._hosts.is_ours(host):
            if len(self._known_hosts) < _KNOWN_HOSTS_MAX:
                self._known_hosts.add(host)
            return None
        if self._credentials_do and self._shows_credentials(request):
            self._log_once(host)
            return None
        message = f"{_quoted(host)} is not a name of this service. If it should be, put it into hosts under [server]."
        return ContractError(errors.ILLEGAL_ARGUMENT, message)

    def _shows_credentials(self, request: web.BaseRequest) -> bool:
        """Whether there is what a page of another name does not have: they are checked later, as always."""
        authorization = request.headers.get(hdrs.AUTHORIZATION, "")
        return authorization.lower().startswith(_CREDENTIALS) or request.path.startswith(self._logins)

    def _log_once(self, host: str) -> None:
        if host not in self._logged_hosts and len(self._logged_hosts) < _HOSTS_LOGGED_MAX:
            self._logged_hosts.add(host)
            log.warning(
                "Requests come for the host %s, and pass only because they carry credentials. If it is a name of this "
                "service, put it into hosts under [server].",
                _quoted(host),
            )

    def _page_refusal(self, request: web.BaseRequest, host: str) -> ContractError | None:
        """Why a request that a browser sent is refused."""
        origin = request.headers.get(hdrs.ORIGIN, "").lower()
        if not self.origins.has(origin):
            is_ours = request.headers.get(_SEC_FETCH_SITE, "none") in _FROM_OURSELVES
            if not (is_ours or self._is_link_to_page(request)):
                return _foreign(origin)
            if origin and not is_same_host(origin, host):
                return _foreign(origin)
        return self._form_refusal(request)

    def _is_link_to_page(self, request: web.BaseRequest) -> bool:
        headers = request.headers
        shows = headers.get("Sec-Fetch-Mode") == "navigate" and headers.get("Sec-Fetch-Dest") == "document"
        return shows and request.method == hdrs.METH_GET and request.path in self._pages

    def _form_refusal(self, request: web.BaseRequest) -> ContractError | None:
        """Refuses bodies that a browser sends for any page without asking the service first."""
        if request.method in _SAFE_METHODS or not request.body_exists or request.path.startswith(self._own_bodies):
            return None
        media_type = request.headers.get(hdrs.CONTENT_TYPE, "").partition(";")[0].strip().lower()
        if media_type not in _FORM_TYPES:
            return None
        message = f"From a web page a body of the type {_quoted(media_type)} is not taken; send application/json."
        return ContractError(errors.ILLEGAL_ARGUMENT, message)


def _foreign(origin: str) -> ContractError:
    message = (
        f"Web pages of the origin {_quoted(origin or 'unknown')} may not call this service. "
        "If they should, put it into origins under [server]."
    )
    return ContractError(errors.NO_PERMISSION, message)


def _quoted(text: str) -> str:
    return repr(text[:_QUOTED_MAX_CHARS])
