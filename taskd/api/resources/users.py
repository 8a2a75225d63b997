"""The caller, as ``whoami`` commands ask for it."""

from collections.abc import Iterator
from typing import Any

from aiohttp import web

from taskd.api.http.authorization import caller_of
from taskd.api.http.json_response import json_response
from taskd.api.http.routing import Route
from taskd.auth.accounts import Role, User
from taskd.auth.oidc import Subject
from taskd.auth.service import AuthService
from taskd.model import errors
from taskd.model.errors import ContractError


class UserHandlers:
    """Answers for users."""

    def __init__(self, auth: AuthService) -> None:
        self._auth = auth

    def routes(self) -> Iterator[Route]:
        """The routes below ``/users/v1``."""
        yield Route("GET", "/me", self.me, None)

    async def me(self, request: web.Request) -> web.StreamResponse:
        """The user behind the request."""
        subject = await self._subject(request)
        if subject is not None:
            return json_response(_profile(subject, []))
        user = self._auth.directory.user(caller_of(request).user_id or "")
        if user is None:
            raise ContractError(errors.NOT_AUTHENTICATED, "An application is calling, there is no user behind it.")
        return json_response(_profile(user, self._auth.directory.roles(user.roles)))

    async def _subject(self, request: web.Request) -> Subject | None:
        scheme, _, token = request.headers["Authorization"].partition(" ")
        return await self._auth.bearers.subject(token.strip()) if scheme.lower() == "bearer" else None


def _profile(who: User | Subject, roles: list[Role]) -> dict[str, Any]:
    return {
        "id": who.id,
        "email": who.email,
        "first_name": who.first_name,
        "last_name": who.last_name,
        "roles": [_role(role) for role in roles],
    }


def _role(role: Role) -> dict[str, Any]:
    permissions = [{"name": name} for name in role.permissions]
    return {"id": role.id, "name": role.name, "description": role.description, "permissions": permissions}
