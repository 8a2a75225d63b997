"""Errors on their way out: whatever a handler raises becomes one response in the contract's shape.

This is the only place that knows how an error looks over HTTP; handlers just raise.
"""

import logging
import secrets
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, Struct, UnsetType

from taskd.api.http.services import SERVED_BASES, missing_service
from taskd.model import errors
from taskd.model.errors import ContractError

log = logging.getLogger(__name__)

RETRY_AFTER_S = 5
"""What a client is asked to wait when the service cannot take its request now."""

_QUOTED_PATH_MAX_CHARS = 200
_TRY_AGAIN = frozenset({errors.UNAVAILABLE, errors.TOO_MANY_REQUESTS})

_encoder = msgspec.json.Encoder()


class RaisedError(Struct):
    """What a function raised."""

    name: str
    message: str


class ErrorResponse(Struct, rename="camel", forbid_unknown_fields=True):
    """Every error: its entry in the catalogue, what it is about, and more fields where its kind has them."""

    code: int
    name: str
    message: str
    index: Annotated[int, Meta(description="Which task of many is wrong.")] | UnsetType = UNSET
    request_id: Annotated[str, Meta(description="Leads to the entry in the service's log.")] | UnsetType = UNSET
    retry_after: Annotated[int, Meta(description="Seconds to wait.")] | UnsetType = UNSET
    runtime_error: RaisedError | UnsetType = UNSET
    task_id: Annotated[str, Meta(description="The task that a direct execution made.")] | UnsetType = UNSET


def error_response(error: ContractError) -> web.Response:
    """The response for ``error``: its status, and the fields it carries as an :class:`ErrorResponse`."""
    wait_s = error.extra.get("retryAfter", RETRY_AFTER_S)
    headers = {"Retry-After": str(wait_s)} if error.kind in _TRY_AGAIN else None
    body = msgspec.convert(error.body(), ErrorResponse)
    # a path may hold bytes that are no UTF-8, and the message quote it
    body.message = error.message.encode("utf-8", "backslashreplace").decode()
    return web.Response(
        body=_encoder.encode(body),
        status=error.kind.http_status,
        headers=headers,
        content_type="application/json",
    )


def response_for(request: web.Request, error: Exception) -> web.Response:
    """The response to ``request``, whose handler raised ``error``."""
    if isinstance(error, ContractError):
        return error_response(error)
    if isinstance(error, web.HTTPException):
        return error_response(_translated(request, error))
    return error_response(fault(f"{request.method} {request.path}", error))


def fault(what: str, cause: BaseException | None) -> ContractError:
    """Logs ``cause``, and gives the error whose request id leads to that log entry."""
    request_id = secrets.token_hex(8)
    log.error("Request %s (%s) failed.", request_id, what, exc_info=cause)
    message = f"The service failed on this request; its log has the details under request id {request_id}."
    return ContractError(errors.SERVER, message, requestId=request_id)


def _translated(request: web.Request, error: web.HTTPException) -> ContractError:
    path = request.path[:_QUOTED_PATH_MAX_CHARS]
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return ContractError(errors.ENDPOINT, f"{path} does not answer {request.method}, only {allowed}.")
    if isinstance(error, web.HTTPNotFound):
        base = missing_service(request.path, request.app.get(SERVED_BASES, frozenset()))
        if base is not None:
            return ContractError(errors.SERVICE_NOT_FOUND, f"The service {base} is not served here.")
        return ContractError(errors.ENDPOINT, f"There is no {request.method} {path}.")
    return ContractError(errors.ILLEGAL_ARGUMENT, error.text or error.reason)
