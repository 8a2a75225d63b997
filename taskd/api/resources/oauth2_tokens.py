"""Logging in with OAuth 2 (RFC 6749): a password, a refresh token or an application's own secret, for access tokens.

Errors have the RFC's shape. What the contract calls an error is beside it as ``exh_error``, where clients look for it.
"""

import base64
from collections.abc import Awaitable, Callable, Iterator
from urllib.parse import parse_qsl, unquote_plus

import msgspec
import orjson
from aiohttp import web
from msgspec import UNSET, Struct, UnsetType

from taskd.api.http.auditing import Audited, When, note
from taskd.api.http.client_address import ClientAddresses
from taskd.api.http.json_response import json_response
from taskd.api.http.request_body import read_body
from taskd.api.http.routing import Route
from taskd.audit.entry import Action
from taskd.auth.accounts import Application
from taskd.auth.logins import Grant
from taskd.auth.service import AuthService
from taskd.model import errors, limits
from taskd.model.errors import ContractError, ErrorKind, TaskdError

_FORM = "application/x-www-form-urlencoded"
_BEARER = "Bearer"
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


class OAuth2TokenBody(Struct):
    """A grant: ``password`` needs ``username`` and ``password``, ``refresh_token`` needs ``refresh_token``.

    An application shows who it is by ``client_id`` and, if it has one, ``client_secret``: here or as Basic credentials.
    """

    grant_type: str
    client_id: str | None = None
    client_secret: str | None = None
    username: str | None = None
    password: str | None = None
    refresh_token: str | None = None


class OAuth2TokensView(Struct):
    """Tokens; ``expires_in`` is in seconds."""

    access_token: str
    token_type: str
    expires_in: int
    application_id: str
    refresh_token: str | UnsetType = UNSET
    user_id: str | UnsetType = UNSET


class CatalogueError(Struct):
    """What the contract calls an error that the RFC has another name for."""

    code: int
    name: str
    description: str


class OAuth2ErrorResponse(Struct):
    """An error in the shape of RFC 6749; ``exh_error`` says what the catalogue calls it."""

    error: str
    error_description: str
    exh_error: CatalogueError | UnsetType = UNSET


class OAuth2Error(TaskdError):
    """An error that only the RFC has."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description


class OAuth2TokenHandlers:
    """Answers under ``/oauth2``."""

    def __init__(self, auth: AuthService, addresses: ClientAddresses) -> None:
        self._auth = auth
        self._addresses = addresses
        self._grants: dict[str, Callable[[web.Request, OAuth2TokenBody, Application], Awaitable[Grant]]] = {
            "password": self._password,
            "refresh_token": self._refresh,
            "client_credentials": self._client_credentials,
        }

    def routes(self) -> Iterator[Route]:
        """The routes below ``/auth/v2``."""
        yield Route(
            *("POST", "/oauth2/tokens", self.create_tokens, None),
            tag="Accounts",
            summary="Log in for OAuth 2 tokens",
            body=OAuth2TokenBody,
            response=OAuth2TokensView,
            errors=(*_RFC_ERRORS, errors.TOO_MANY_REQUESTS),
            error_responses={400: OAuth2ErrorResponse, 401: OAuth2ErrorResponse},
            audited=Audited(Action.LOGINS_CREATE, "user", when=When.IF_NOTED),
        )

    async def create_tokens(self, request: web.Request) -> web.StreamResponse:
        """Access and refresh tokens, for one of the grants."""
        try:
            return _tokens_response(await self._grant(request))
        except OAuth2Error as error:
            return _error_response(OAuth2ErrorResponse(error.error, error.description))
        except ContractError as error:
            if error.kind not in _RFC_ERRORS:
                raise
            ours = CatalogueError(error.kind.code, error.kind.name, error.message)
            return _error_response(OAuth2ErrorResponse(_RFC_ERRORS[error.kind], error.message, ours))

    async def _grant(self, request: web.Request) -> Grant:
        body = _decode(request, await read_body(request, limits.LOGIN_BODY_MAX_BYTES))
        client_id, secret = _client_credentials(request, body)
        grant = self._grants.get(_required("grant_type", body.grant_type))
        if grant is None:
            raise OAuth2Error("unsupported_grant_type", f"grant_type must be one of {', '.join(self._grants)}.")
        return await grant(request, body, self._auth.logins.client(client_id, secret, self._addresses.of(request)))

    async def _password(self, request: web.Request, body: OAuth2TokenBody, application: Application) -> Grant:
        email, password = _required("username", body.username), _required("password", body.password)
        user = await self._auth.logins.user(email, password, self._addresses.of(request))
        noted = note(request, user.id, grant="password")
        noted.user_id, noted.application_id = user.id, application.id
        return self._auth.logins.grant(user, application)

    async def _refresh(self, _: web.Request, body: OAuth2TokenBody, application: Application) -> Grant:
        return await self._auth.logins.refresh(_required("refresh_token", body.refresh_token), application)

    async def _client_credentials(self, request: web.Request, __: OAuth2TokenBody, application: Application) -> Grant:
        if not application.secret:
            raise OAuth2Error("unauthorized_client", "An application without a secret cannot log in for itself.")
        noted = note(request, application.id, grant="client_credentials")
        noted.subject_type, noted.application_id = "application", application.id
        return self._auth.logins.grant(None, application)


def _decode(request: web.Request, text: bytes) -> OAuth2TokenBody:
    """The fields of a body that are strings; the RFC has forms, and clients of the API send JSON.

    That ``grant_type`` is missing is found out with the other fields of the grant, after the client is known.
    """
    try:
        if request.content_type == _FORM:
            values = dict(parse_qsl(text.decode(), keep_blank_values=True, errors="strict"))
        else:
            values = orjson.loads(text)
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise ContractError(errors.BODY_FORMAT, "The body is neither a JSON object nor a form that says so.")
    fields = {name: value for name, value in values.items() if isinstance(value, str)}
    return msgspec.convert({"grant_type": "", **fields}, OAuth2TokenBody)


def _required(name: str, value: str | None) -> str:
    if not value:
        raise OAuth2Error("invalid_request", f"The body lacks {name}.")
    return value


def _client_credentials(request: web.Request, body: OAuth2TokenBody) -> tuple[str, str | None]:
    """The client's id and secret, from the body or from Basic; clients that send both send the same."""
    header = request.headers.get("Authorization", "")
    basic = _basic(header) if header.lower().startswith("basic ") else None
    client_id = body.client_id or (basic[0] if basic else "")
    if not client_id:
        raise ContractError(errors.OAUTH2_MISSING_CLIENT, "Send client_id, in the body or as user name of Basic.")
    if basic is None:
        return client_id, body.client_secret
    if basic[0] != client_id or body.client_secret not in (None, basic[1]):
        raise OAuth2Error("invalid_request", "The body and the Authorization header name different clients.")
    return basic


def _basic(header: str) -> tuple[str, str]:
    """User and password. The RFC has them form-encoded, which most clients leave out; ours need no encoding."""
    try:
        text = base64.b64decode(header.partition(" ")[2].strip(), validate=True).decode()
    except ValueError:  # not base64, not even ASCII, or not UTF-8 inside
        raise OAuth2Error("invalid_request", "The Authorization header is not Basic credentials.") from None
    user, _, password = text.partition(":")
    return unquote_plus(user), unquote_plus(password)


def _tokens_response(grant: Grant) -> web.StreamResponse:
    view = OAuth2TokensView(
        access_token=grant.access_token,
        token_type=_BEARER,
        expires_in=grant.expires_in_s,
        application_id=grant.application_id,
        refresh_token=UNSET if grant.refresh_token is None else grant.refresh_token,
        user_id=UNSET if grant.user_id is None else grant.user_id,
    )
    response = json_response(view)
    response.headers.update(_NO_STORE)
    return response


def _error_response(error: OAuth2ErrorResponse) -> web.StreamResponse:
    is_client = error.error == "invalid_client"
    response = json_response(error, status=401 if is_client else 400)
    if is_client:
        response.headers["WWW-Authenticate"] = 'Basic realm="taskd"'
    response.headers.update(_NO_STORE)
    return response
