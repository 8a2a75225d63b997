"""A small synchronous HTTP client for the API, and the one place where its errors are translated.

It knows paths and JSON, not what the commands do with them. One connection per request: commands are short.
"""

import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import msgspec

from taskd import __version__
from taskd.cli.exit_codes import CommandError, ExitCode
from taskd.model.errors import NO_PERMISSION, RESOURCE_UNKNOWN
from taskd.model.limits import PAGE_LIMIT_MAX

Json = dict[str, Any]
"""A record of the API."""

NO_HEADERS: Mapping[str, str] = MappingProxyType({})
DEFAULT_URL = "http://127.0.0.1:8080"
DEFAULT_TIMEOUT_S = 300.0
"""Deploying to AWS takes minutes at worst; a server that is not there is noticed at once all the same."""
_API = "/tasks/v1"
_OTHER_APIS = ("/taskd/v1/", "/events/v1/", "/dispatchers/v1/")
"""What Extra Horizon does not have."""
_ANSWER_MAX_BYTES = 256 * 1024**2
_AUTHENTICATION_CODES = range(101, 127)


class ApiError(CommandError):
    """The server refused; ``code`` is the API's error code, 0 where the answer was no error of the API."""

    def __init__(self, http_status: int, code: int, name: str, message: str) -> None:
        text = f"error {code} {name}: {message}" if code else message
        super().__init__(" ".join(text.split()), _exit_code(http_status, code))
        self.http_status = http_status
        self.code = code
        self.name = name
        self.message = message


class UnreachableError(CommandError):
    """There was no answer."""

    def __init__(self, url: str, reason: object) -> None:
        hint = "Is `taskd serve` running? --url or TASKD_URL says where to look."
        super().__init__(f"no answer from {url}: {reason}. {hint}", ExitCode.UNREACHABLE)


class Target(NamedTuple):
    """Where the API is: the parts of its URL."""

    url: str
    secure: bool
    host: str
    port: int | None
    base_path: str


def parse_url(url: str) -> Target:
    """The parts of ``url``, such as ``https://tasks.example.com/prefix``.

    :raises ValueError: says why ``url`` cannot be used.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is not a URL such as {DEFAULT_URL}")
    if parts.username or parts.query or parts.fragment:
        raise ValueError("the URL must have no user, query or fragment; a token is given with --token")
    path = quote(parts.path.rstrip("/"), safe="/%")
    return Target(url.rstrip("/"), parts.scheme == "https", parts.hostname, parts.port, path)


class ApiClient:
    """Calls the API at ``url`` (see :func:`parse_url`), with ``token`` as bearer if there is one.

    Every call returns the decoded JSON answer and raises :class:`ApiError` or :class:`UnreachableError`.
    """

    def __init__(self, url: str, token: str | None = None, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self._target = parse_url(url)
        self._token = token
        self._timeout_s = timeout_s

    @property
    def url(self) -> str:
        """The server's address, without a slash at the end."""
        return self._target.url

    def get(self, path: str, query: str = "") -> Any:
        """Reads ``path``, below ``/tasks/v1`` unless it names another API; ``query`` is encoded already."""
        return self._call("GET", f"{path}?{query}" if query else path)

    def post(self, path: str, body: Any = None, *, key: str | None = None) -> Any:
        """Posts ``body`` as JSON, or nothing where it is ``None``; ``key`` is sent as ``Idempotency-Key``."""
        return self._call("POST", path, body, {} if key is None else {"Idempotency-Key": key})

    def put(self, path: str, body: Any) -> Any:
        """Puts ``body`` as JSON."""
        return self._call("PUT", path, body)

    def delete(self, path: str) -> Any:
        """Deletes what is at ``path``."""
        return self._call("DELETE", path)

    def _call(self, method: str, path: str, body: Any = None, more: Mapping[str, str] = NO_HEADERS) -> Any:
        payload = None if body is None else msgspec.json.encode(body)
        headers, connection = {**self._headers(), **more}, self._connection()
        try:
            api = "" if path.startswith(_OTHER_APIS) else _API
            response = _exchange(connection, method, self._target.base_path + api + path, payload, headers)
            content = response.read(_ANSWER_MAX_BYTES)
        except (OSError, HTTPException, UnicodeError) as error:
            raise UnreachableError(self.url, _reason(error)) from error
        finally:
            connection.close()
        return _decode(self.url, response.status, content)

    def _connection(self) -> HTTPConnection:
        target = self._target
        if target.secure:
            context = ssl.create_default_context()
            return HTTPSConnection(target.host, target.port, timeout=self._timeout_s, context=context)
        return HTTPConnection(target.host, target.port, timeout=self._timeout_s)

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json", "User-Agent": f"taskd-cli/{__version__}"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        return headers


def segment(text: str) -> str:
    """``text`` as one segment of a path, whatever is in it."""
    return quote(text, safe="")


def _exchange(
    connection: HTTPConnection, method: str, path: str, payload: bytes | None, headers: dict[str, str]
) -> HTTPResponse:
    if payload is not None:
        headers["Content-Type"] = "application/json"
    # a server that refuses a body may answer and hang up before all of it is sent
    with suppress(BrokenPipeError, ConnectionResetError):
        connection.request(method, path, payload, headers)
    return connection.getresponse()


def _decode(url: str, status: int, content: bytes) -> Any:
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        answer = None
    if 200 <= status < 300 and answer is not None:
        return answer
    if isinstance(answer, dict) and isinstance(answer.get("code"), int):
        raise ApiError(status, answer["code"], str(answer.get("name", "")), str(answer.get("message", "")))
    raise ApiError(status, 0, "", f"{url} answered with HTTP {status} and no JSON of the API: is it taskd?")


def _exit_code(http_status: int, code: int) -> ExitCode:
    if code == RESOURCE_UNKNOWN.code:
        return ExitCode.NOT_FOUND
    if code == NO_PERMISSION.code or code in _AUTHENTICATION_CODES or (not code and http_status in (401, 403)):
        return ExitCode.NOT_PERMITTED
    return ExitCode.FAILED


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def rows(client: ApiClient, path: str, query: str, limit: int) -> Iterator[dict[str, Any]]:
    """Up to ``limit`` records of the listing at ``path``, fetched page by page as they are asked for."""
    offset = 0
    while offset < limit:
        size = min(PAGE_LIMIT_MAX, limit - offset)
        page = client.get(path, f"{query}&limit({size},{offset})&skipCount()")
        yield from page["data"]
        offset += len(page["data"])
        if len(page["data"]) < page["page"]["limit"]:  # which is less than asked for where records are large
            return
