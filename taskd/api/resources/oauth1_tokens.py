"""Logging in with OAuth 1: a signed request with a password in it, for a token and its secret."""

from collections.abc import Iterator

import msgspec
from aiohttp import web

from taskd.api.http.authentication import address_of, signed_request
from taskd.api.http.json_response import json_response
from taskd.api.http.request_body import read_body
from taskd.api.http.routing import Route
from taskd.api.validation.body_decoder import BodyDecoder
from taskd.auth.accounts import Application
from taskd.auth.service import AuthService
from taskd.model import errors, limits
from taskd.model.errors import ContractError


class PasswordBody(msgspec.Struct):
    """``POST /oauth1/tokens``."""

    email: str
    password: str


_decode_password = BodyDecoder(PasswordBody)


class OAuth1Handlers:
    """Answers under ``/oauth1``."""

    def __init__(self, auth: AuthService) -> None:
        self._auth = auth

    def routes(self) -> Iterator[Route]:
        """The routes below ``/auth/v2``."""
        yield Route("POST", "/oauth1/tokens", self.create_token, None)

    async def create_token(self, request: web.Request) -> web.StreamResponse:
        """A token for the user whose password is in the body, through the application that signed."""
        application = self._application(request)
        body = _decode_password(await read_body(request, limits.LOGIN_BODY_MAX_BYTES))
        user = await self._auth.logins.user(body.email, body.password, address_of(request))
        token = self._auth.logins.oauth1(user, application)
        answer = {
            "id": token.id,
            "token": token.token,
            "tokenSecret": token.secret,
            "userId": token.user_id,
            "applicationId": token.application_id,
        }
        return json_response(answer)

    def _application(self, request: web.Request) -> Application:
        header = request.headers.get("Authorization", "")
        if not header.lower().startswith("oauth "):
            message = "Sign the request with the consumer key and secret of an OAuth 1 application."
            raise ContractError(errors.APPLICATION_NOT_AUTHENTICATED, message)
        return self._auth.signatures.signer(signed_request(request), header).application
