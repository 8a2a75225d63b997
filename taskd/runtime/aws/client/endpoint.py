"""Where the Invoke API is: the parts of an endpoint's URL, as a request needs them."""

import re
from urllib.parse import SplitResult, urlsplit

from msgspec import Struct

from taskd.model.errors import TaskdError

_BASE_PATH = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~!$&'()*+,;=:@%-]+)*/?")
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f]")
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Endpoint(Struct, frozen=True):
    """A server that speaks the Invoke API."""

    host: str
    port: int
    tls: bool
    authority: str
    """The value of the ``Host`` header: without the port where it is the scheme's own."""
    base_path: str
    """What stands before ``/2015-03-31/...``; empty, or with a leading and without a trailing slash."""

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def parse_endpoint(url: str) -> Endpoint:
    """The parts of ``http[s]://host[:port][/path]``; :class:`TaskdError` if ``url`` is anything else."""
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode()
    except ValueError as error:
        raise _unusable(url, str(error)) from error
    if _UNPRINTABLE.search(url):  # urlsplit drops some of these without a word
        raise _unusable(url, "it holds a space or a control character")
    if parts.scheme not in _DEFAULT_PORTS:
        raise _unusable(url, "it does not start with http:// or https://")
    if not _HOST.fullmatch(host):
        raise _unusable(url, "it names no host")
    _refuse_surplus(url, parts)
    return Endpoint(
        host=host,
        port=port or _DEFAULT_PORTS[parts.scheme],
        tls=parts.scheme == "https",
        authority=_authority(parts.scheme, host, port),
        base_path=parts.path.rstrip("/"),
    )


def _refuse_surplus(url: str, parts: SplitResult) -> None:
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise _unusable(url, "it holds more than a host, a port and a path")
    if not _BASE_PATH.fullmatch(parts.path):
        raise _unusable(url, "its path is not in its plain, percent-encoded form")


def _authority(scheme: str, host: str, port: int | None) -> str:
    name = f"[{host}]" if ":" in host else host
    return name if port in (None, _DEFAULT_PORTS[scheme]) else f"{name}:{port}"


def _unusable(url: str, why: str) -> TaskdError:
    return TaskdError(
        f"The Lambda endpoint {url!r} cannot be used: {why}. Set endpoint_url in [aws] to a URL such as "
        "http://127.0.0.1:9001, or leave it out to use AWS."
    )
