"""The event that an API function gets for an HTTP request: version 2.0 of AWS's HTTP APIs, as far as adapters read it.

Knows no HTTP server: a request comes as an :class:`ApiCall`.
"""

import base64
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct

from taskd.model import errors, limits
from taskd.model.errors import ContractError

_IDENTITY_PREFIX = "x-exh-requesting-"
_USER_ID = _IDENTITY_PREFIX + "user-id"
_APPLICATION_ID = _IDENTITY_PREFIX + "application-id"

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers, in lower case, that speak of one connection and not of what is sent over it."""
_KEPT_BACK = HOP_BY_HOP | {"authorization", "content-length", "expect"}
"""Not passed on: the caller's credentials are for this service alone, and the length is that of what is passed on."""

_encode = msgspec.json.Encoder().encode


class ApiCall(Struct, frozen=True):
    """An HTTP request for an API function."""

    method: str
    path: str
    """What came after the function's name, encoded as it was sent; begins with a slash."""
    query: str
    """The query string, encoded as it was sent, without its question mark."""
    headers: Sequence[tuple[str, str]]
    """Names in any case; a name may come more than once."""
    body: bytes
    protocol: str = "HTTP/1.1"
    source_ip: str = ""
    user_id: str | None = None
    application_id: str | None = None

    @property
    def target(self) -> str:
        """Path and query, as they were sent."""
        return f"{self.path}?{self.query}" if self.query else self.path


def encode_event(call: ApiCall, request_id: str, time_ms: int, *, query_mark: bool = True) -> bytes:
    """The event for ``call`` as JSON. ``query_mark``: whether ``rawQueryString`` begins with its question mark.

    :raises ContractError: ``BODY_TOO_LARGE`` if no function can be given this much.
    """
    event = _encode(_event(call, request_id, time_ms, query_mark=query_mark))
    if len(event) > limits.LAMBDA_PAYLOAD_MAX_BYTES:
        message = (
            f"The request has {len(event)} bytes as an event for the function, the limit is "
            f"{limits.LAMBDA_PAYLOAD_MAX_BYTES}. What is not UTF-8 text grows by a third on the way, as base64."
        )
        raise ContractError(errors.BODY_TOO_LARGE, message)
    return event


def _event(call: ApiCall, request_id: str, time_ms: int, *, query_mark: bool) -> dict[str, Any]:
    headers = _headers(call)
    body, is_base64 = _body(call.body)
    event = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": call.path,
        "rawQueryString": f"?{call.query}" if call.query and query_mark else call.query,
        "headers": headers,
        "requestContext": _context(call, headers, request_id, time_ms),
        "body": body,
        "isBase64Encoded": is_base64,
    }
    if call.query:
        event["queryStringParameters"] = _query_parameters(call.query)
    if "cookie" in headers:
        event["cookies"] = [cookie.strip() for cookie in headers["cookie"].split(";") if cookie.strip()]
    return event


def _context(call: ApiCall, headers: dict[str, str], request_id: str, time_ms: int) -> dict[str, Any]:
    return {
        "http": {
            "method": call.method,
            "path": call.path,
            "protocol": call.protocol,
            "sourceIp": call.source_ip,
            "userAgent": headers.get("user-agent", ""),
        },
        "requestId": request_id,
        "routeKey": "$default",
        "stage": "$default",
        "timeEpoch": time_ms,
    }


def _headers(call: ApiCall) -> dict[str, str]:
    """What is passed on, by lower-case name; repeated headers are joined."""
    received = [(name.lower(), value) for name, value in call.headers]
    named = {token.strip().lower() for name, value in received if name == "connection" for token in value.split(",")}
    headers: dict[str, str] = {}
    for name, value in received:
        if name not in _KEPT_BACK and name not in named and not _claims_identity(name):
            separator = "; " if name == "cookie" else ","
            headers[name] = f"{headers[name]}{separator}{value}" if name in headers else value
    if call.body:
        headers["content-length"] = str(len(call.body))
    return headers | _identity(call)


def _claims_identity(name: str) -> bool:
    """Also with underscores: to CGI-like frameworks, ``X_Exh_...`` is the same header."""
    return name.replace("_", "-").startswith(_IDENTITY_PREFIX)


def _identity(call: ApiCall) -> dict[str, str]:
    known = {_USER_ID: call.user_id, _APPLICATION_ID: call.application_id}
    return {name: value for name, value in known.items() if value is not None}


def _body(body: bytes) -> tuple[str, bool]:
    try:
        return body.decode(), False
    except UnicodeDecodeError:
        return base64.b64encode(body).decode(), True


def _query_parameters(query: str) -> dict[str, str]:
    """Decoded; the values of a repeated name are joined with commas."""
    parameters: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        parameters[name] = f"{parameters[name]},{value}" if name in parameters else value
    return parameters
