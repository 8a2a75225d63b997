"""Logging in with OAuth 1: a signed request with a password in it, for a token and its secret."""

from collections.abc import Iterator
from typing import Annotated

from aiohttp import web
from msgspec import Meta, Struct

from taskd.api.http.auditing import Audited, When, note
from taskd.api.http.authentication import signed_request
from taskd.api.http.client_address import ClientAddresses
from taskd.api.http.json_response import json_response
from taskd.api.http.request_body import read_body
from taskd.api.http.routing import Route
from taskd.api.validation.body_decoder import BodyDecoder
from taskd.audit.entry import Action
from taskd.auth.accounts import Application
from taskd.auth.logins import OAuth1Token
from taskd.auth.service import AuthService
from taskd.model import errors, limits
from taskd.model.errors import ContractError


class OAuth1TokenBody(Struct):
    """``POST /oauth1/tokens``: the credentials of a user."""

    email: Annotated[str, Meta(description="a string")]
    password: Annotated[str, Meta(description="a string")]


class OAuth1TokenView(Struct, rename="camel"):
    """A token to sign requests with."""

    id: str
    token: str
    token_secret: str
    user_id: str
    application_id: str


_decode = BodyDecoder(OAuth1TokenBody)

_ERRORS = (
    errors.APPLICATION_NOT_AUTHENTICATED,
    errors.OAUTH1_KEY,
    errors.OAUTH1_SIGNATURE,
    errors.REPLAYED,
    errors.TOO_MANY_REQUESTS,
    errors.WRONG_PASSWORD,
)


class OAuth1TokenHandlers:
    """Answers under ``/oauth1``."""

    def __init__(self, auth: AuthService, addresses: ClientAddresses) -> None:
        self._auth = auth
        self._addresses = addresses

    def routes(self) -> Iterator[Route]:
        """The routes below ``/auth/v2``."""
        yield Route(
            *("POST", "/oauth1/tokens", self.create_token, None),
            tag="Accounts",
            summary="Log in for an OAuth 1 token",
            body=OAuth1TokenBody,
            response=OAuth1TokenView,
            errors=_ERRORS,
            audited=Audited(Action.LOGINS_CREATE, "user", when=When.IF_NOTED),
        )

    async def create_token(self, request: web.Request) -> web.StreamResponse:
        """A token for the user whose password is in the body, through the application that signed."""
        application = await self._application(request)
        body = _decode(await read_body(request, limits.LOGIN_BODY_MAX_BYTES))
        user = await self._auth.logins.user(body.email, body.password, self._addresses.of(request))
        token = self._auth.logins.oauth1(user, application)
        noted = note(request, user.id, grant="oauth1")
        noted.user_id, noted.application_id = user.id, application.id
        return json_response(_view(token))

    async def _application(self, request: web.Request) -> Application:
        header = request.headers.get("Authorization", "")
        if not header.lower().startswith("oauth "):
            message = "Sign the request with the consumer key and secret of an OAuth 1 application."
            raise ContractError(errors.APPLICATION_NOT_AUTHENTICATED, message)
        signer = await self._auth.signer(signed_request(request), header, self._addresses.of(request))
        return signer.application


def _view(token: OAuth1Token) -> OAuth1TokenView:
    return OAuth1TokenView(
        id=token.id,
        token=token.token,
        token_secret=token.secret,
        user_id=token.user_id,
        application_id=token.application_id,
    )
