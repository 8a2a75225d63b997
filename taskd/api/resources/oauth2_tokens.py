"""Logging in with OAuth 2 (RFC 6749): a password, a refresh token or an application's own secret, for access tokens.

Errors have the RFC's shape. What the contract calls an error is beside it as ``exh_error``, where clients look for it.
"""

import base64
import binascii
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

import orjson
from aiohttp import web

from taskd.api.http.authentication import address_of
from taskd.api.http.json_response import json_response
from taskd.api.http.request_body import read_body
from taskd.api.http.routing import Route
from taskd.auth.accounts import Application
from taskd.auth.logins import Grant
from taskd.auth.service import AuthService
from taskd.model import errors, limits
from taskd.model.errors import ContractError, ErrorKind, TaskdError

Fields = dict[str, str]
_FORM = "application/x-www-form-urlencoded"
_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}

_RFC_ERRORS: dict[ErrorKind, str] = {
    errors.WRONG_PASSWORD: "invalid_grant",
    errors.REFRESH_TOKEN_UNKNOWN: "invalid_grant",
    errors.REFRESH_TOKEN_EXPIRED: "invalid_grant",
    errors.OAUTH2_CLIENT_ID: "invalid_client",
    errors.OAUTH2_CLIENT_SECRET: "invalid_client",
    errors.OAUTH2_MISSING_CLIENT: "invalid_client",
    errors.EMPTY_BODY: "invalid_request",
    errors.BODY_FORMAT: "invalid_request",
}
"""What the RFC calls our errors; those not here are no business of the RFC and keep their own shape."""


class OAuth2Error(TaskdError):
    """An error that only the RFC has."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description


class OAuth2Handlers:
    """Answers under ``/oauth2``."""

    def __init__(self, auth: AuthService) -> None:
        self._auth = auth
        self._grants: dict[str, Callable[[web.Request, Fields, Application], Awaitable[Grant]]] = {
            "password": self._password,
            "refresh_token": self._refresh,
            "client_credentials": self._client_credentials,
        }

    def routes(self) -> Iterator[Route]:
        """The routes below ``/auth/v2``."""
        yield Route("POST", "/oauth2/tokens", self.create_tokens, None)

    async def create_tokens(self, request: web.Request) -> web.StreamResponse:
        """Access and refresh tokens, for one of the grants."""
        try:
            return _answer(await self._grant(request))
        except OAuth2Error as error:
            return _error_answer(error.error, error.description, {})
        except ContractError as error:
            if error.kind not in _RFC_ERRORS:
                raise
            exh_error = {"code": error.kind.code, "name": error.kind.name, "description": error.message}
            return _error_answer(_RFC_ERRORS[error.kind], error.message, {"exh_error": exh_error})

    async def _grant(self, request: web.Request) -> Grant:
        fields = _fields(request, await read_body(request, limits.LOGIN_BODY_MAX_BYTES))
        client_id, secret = _client_credentials(request, fields)
        grant = self._grants.get(_required(fields, "grant_type"))
        if grant is None:
            raise OAuth2Error("unsupported_grant_type", f"grant_type must be one of {', '.join(self._grants)}.")
        return await grant(request, fields, self._auth.logins.client(client_id, secret))

    async def _password(self, request: web.Request, fields: Fields, application: Application) -> Grant:
        email, password = _required(fields, "username"), _required(fields, "password")
        user = await self._auth.logins.user(email, password, address_of(request))
        return self._auth.logins.grant(user, application)

    async def _refresh(self, _: web.Request, fields: Fields, application: Application) -> Grant:
        return self._auth.logins.refresh(_required(fields, "refresh_token"), application)

    async def _client_credentials(self, _: web.Request, __: Fields, application: Application) -> Grant:
        if not application.secret:
            raise OAuth2Error("unauthorized_client", "An application without a secret cannot log in for itself.")
        return self._auth.logins.grant(None, application)


def _fields(request: web.Request, body: bytes) -> Fields:
    """The fields of ``body`` that are strings; the RFC has forms, and clients of the API send JSON."""
    try:
        if request.content_type == _FORM:
            return dict(parse_qsl(body.decode(), keep_blank_values=True, errors="strict"))
        values = orjson.loads(body)
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise ContractError(errors.BODY_FORMAT, "The body is neither a JSON object nor a form that says so.")
    return {name: value for name, value in values.items() if isinstance(value, str)}


def _required(fields: Fields, name: str) -> str:
    if not fields.get(name):
        raise OAuth2Error("invalid_request", f"The body lacks {name}.")
    return fields[name]


def _client_credentials(request: web.Request, fields: Fields) -> tuple[str, str | None]:
    """The client's id and secret, from the body or from Basic; clients that send both send the same."""
    header = request.headers.get("Authorization", "")
    basic = _basic(header) if header.lower().startswith("basic ") else None
    client_id = fields.get("client_id") or (basic[0] if basic else "")
    if not client_id:
        raise ContractError(errors.OAUTH2_MISSING_CLIENT, "Send client_id, in the body or as user name of Basic.")
    sent = (client_id, fields.get("client_secret"))
    if basic is None:
        return sent
    if basic[0] != client_id or sent[1] not in (None, basic[1]):
        raise OAuth2Error("invalid_request", "The body and the Authorization header name different clients.")
    return basic


def _basic(header: str) -> tuple[str, str]:
    """User and password. The RFC has them form-encoded, which most clients leave out; ours need no encoding."""
    try:
        text = base64.b64decode(header.partition(" ")[2].strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise OAuth2Error("invalid_request", "The Authorization header is not Basic credentials.") from None
    user, _, password = text.partition(":")
    return unquote_plus(user), unquote_plus(password)


def _answer(grant: Grant) -> web.StreamResponse:
    answer = {
        "access_token": grant.access_token,
        "refresh_token": grant.refresh_token,
        "token_type": "Bearer",
        "expires_in": grant.expires_in_s,
        "user_id": grant.user_id,
        "application_id": grant.application_id,
    }
    response = json_response({name: value for name, value in answer.items() if value is not None})
    response.headers.update(_NO_STORE)
    return response


def _error_answer(error: str, description: str, extra: dict[str, Any]) -> web.StreamResponse:
    is_client = error == "invalid_client"
    body = {"error": error, "error_description": description, **extra}
    response = json_response(body, status=401 if is_client else 400)
    if is_client:
        response.headers["WWW-Authenticate"] = 'Basic realm="taskd"'
    response.headers.update(_NO_STORE)
    return response
