"""Heads of signed Invoke requests. Knows what Lambda wants to be asked, not how bytes get there.

What never changes for a function is kept by its name, so that a call costs two hashes and two joins.
"""

import hashlib
from typing import NamedTuple
from urllib.parse import quote

from taskd import __version__
from taskd.model.errors import TaskdError
from taskd.runtime.aws.client.endpoint import Endpoint
from taskd.runtime.aws.client.sigv4 import Credentials, Signer, signature

SERVICE = "lambda"
_TEMPLATES_MAX = 4096
"""Function names remembered at once. Names come from callers, so their number has to have an end."""


class UnusableNameError(TaskdError):
    """A function reference that cannot stand in the path of a request."""

    def __init__(self, function_name: str) -> None:
        super().__init__(f"{function_name!r} is neither the name of a Lambda function nor an ARN.")


class _Template(NamedTuple):
    """The head of a request and its canonical form, both up to the value of ``X-Amz-Date``."""

    wire: bytes
    canonical: bytes


class InvokeRequests:
    """Builds the heads of requests to one endpoint in the name of one set of credentials."""

    def __init__(self, endpoint: Endpoint, region: str, credentials: Credentials) -> None:
        self._endpoint = endpoint
        self._fixed = {"x-amz-invocation-type": "RequestResponse", "x-amz-log-type": "Tail"}
        if credentials.token:
            self._fixed["x-amz-security-token"] = credentials.token
        signed_headers = ";".join(["content-type", "host", "x-amz-date", *self._fixed])
        self._signer = Signer(credentials, region, SERVICE, signed_headers)
        lines = "".join(f"\n{name}:{value}" for name, value in self._fixed.items())
        self._canonical_end = f"{lines}\n\n{signed_headers}\n".encode()
        self._templates: dict[str, _Template] = {}

    def head(self, function_name: str, body: bytes, now_ms: int) -> bytes:
        """The head of a request that invokes ``function_name`` (a bare name or an ARN) with ``body``.

        Raises :class:`UnusableNameError` if the name cannot be part of a path.
        """
        template = self._templates.get(function_name) or self._remember(function_name)
        context = self._signer.context(now_ms)
        body_hash = hashlib.sha256(body).hexdigest().encode()
        canonical = b"".join((template.canonical, context.amz_date, self._canonical_end, body_hash))
        return b"%b%b\r\nAuthorization: %b%b\r\nContent-Length: %d\r\n\r\n" % (
            template.wire,
            context.amz_date,
            context.authorization,
            signature(context, canonical),
            len(body),
        )

    def _remember(self, function_name: str) -> _Template:
        template = self._template(invoke_path(self._endpoint, function_name))
        if len(self._templates) >= _TEMPLATES_MAX:
            self._templates.clear()
        self._templates[function_name] = template
        return template

    def _template(self, path: str) -> _Template:
        host = self._endpoint.authority
        fixed = "".join(f"{name.title()}: {value}\r\n" for name, value in self._fixed.items())
        wire = (
            f"POST {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: taskd/{__version__}\r\n"
            f"Content-Type: application/json\r\n{fixed}X-Amz-Date: "
        )
        canonical = f"POST\n{quote(path, safe='/~')}\n\ncontent-type:application/json\nhost:{host}\nx-amz-date:"
        return _Template(wire.encode(), canonical.encode())


def invoke_path(endpoint: Endpoint, function_name: str) -> str:
    """The path of a function's invocations.

    The canonical path of a signature is this one encoded once more, as for every AWS service but S3.
    """
    if function_name in ("", ".", ".."):
        raise UnusableNameError(function_name)
    try:
        segment = quote(function_name, safe="-_.~")
    except UnicodeEncodeError as error:
        raise UnusableNameError(function_name) from error
    return f"{endpoint.base_path}/2015-03-31/functions/{segment}/invocations"
