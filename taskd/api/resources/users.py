"""The caller, as ``whoami`` commands ask for it."""

from collections.abc import Iterator

from aiohttp import web
from msgspec import Struct

from taskd.api.http.authorization import caller_of
from taskd.api.http.json_response import json_response
from taskd.api.http.routing import Route
from taskd.auth.accounts import Role, User
from taskd.auth.oidc import Subject
from taskd.auth.service import AuthService
from taskd.model import errors
from taskd.model.errors import ContractError


class PermissionView(Struct):
    """A permission that a role grants, maybe for one function only."""

    name: str


class RoleView(Struct):
    """A role that a user has."""

    id: str
    name: str
    description: str
    permissions: list[PermissionView]


class UserView(Struct):
    """The user behind a request."""

    id: str
    email: str
    first_name: str
    last_name: str
    roles: list[RoleView]


class UserHandlers:
    """Answers for users."""

    def __init__(self, auth: AuthService) -> None:
        self._auth = auth

    def routes(self) -> Iterator[Route]:
        """The routes below ``/users/v1``."""
        yield Route(
            *("GET", "/me", self.me, None),
            tag="Accounts",
            summary="Ask who is calling",
            response=UserView,
        )

    async def me(self, request: web.Request) -> web.StreamResponse:
        """The user behind the request."""
        subject = await self._subject(request)
        if subject is not None:
            return json_response(_user_view(subject, []))
        user = self._auth.directory.user(caller_of(request).user_id or "")
        if user is None:
            raise ContractError(errors.NOT_AUTHENTICATED, "An application is calling, there is no user behind it.")
        return json_response(_user_view(user, self._auth.directory.roles(user.roles)))

    async def _subject(self, request: web.Request) -> Subject | None:
        scheme, _, token = request.headers["Authorization"].partition(" ")
        return await self._auth.bearers.subject(token.strip()) if scheme.lower() == "bearer" else None


def _user_view(user: User | Subject, roles: list[Role]) -> UserView:
    return UserView(
        id=user.id,
        email=user.email,
        first_name=user.first_name,
        last_name=user.last_name,
        roles=[_role_view(role) for role in roles],
    )


def _role_view(role: Role) -> RoleView:
    permissions = [PermissionView(name) for name in role.permissions]
    return RoleView(id=role.id, name=role.name, description=role.description, permissions=permissions)
