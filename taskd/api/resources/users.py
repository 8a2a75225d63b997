"""Users: the caller, as ``whoami`` commands ask for it, and those whom a query finds; and which roles they have."""

import asyncio
from collections.abc import Iterator

from aiohttp import web

from taskd.api.http.account_views import ANYBODY, RecordsAffected, UserView, subject_view, user_view
from taskd.api.http.auditing import Audited, When, note, record_now
from taskd.api.http.authorization import caller_of, require
from taskd.api.http.json_response import json_response
from taskd.api.http.pages import Pages, RecordPage
from taskd.api.http.request_body import read_body
from taskd.api.http.request_parts import object_id, query_of, where_of
from taskd.api.http.routing import Route
from taskd.api.validation.user_body import RolesBody, roles_named
from taskd.audit.entry import Action
from taskd.auth.account_search import email_asked_for, find_users
from taskd.auth.oidc import Subject
from taskd.auth.role_changes import add_roles, take_roles
from taskd.auth.service import AuthService
from taskd.model import errors, limits
from taskd.model.caller import EVERYTHING, Caller
from taskd.model.clock import Clock
from taskd.model.errors import ContractError
from taskd.model.permissions import Permission
from taskd.rql.query import Query
from taskd.store.base import Page

_MAKES_USERS = (Permission.CREATE_ROLE, Permission.ADD_ROLE_TO_USER)


class UserHandlers:
    """Answers for users."""

    def __init__(self, auth: AuthService, pages: Pages, clock: Clock) -> None:
        self._auth = auth
        self._pages = pages
        self._clock = clock
        self._turn = asyncio.Lock()

    def routes(self) -> Iterator[Route]:
        """The routes below ``/users/v1``."""
        yield Route(*("GET", "/me", self.me, None), tag="Accounts", summary="Ask who is calling", response=UserView)
        yield Route(
            *("GET", "", self.listing, Permission.VIEW_USER),
            tag="Accounts",
            summary="List users",
            response=RecordPage[UserView],
            takes_query=True,
        )
        yield Route(*("GET", "/{id}", self.details, None), tag="Accounts", summary="Look at a user", response=UserView)
        yield Route(
            *("POST", "/add_roles", self.add_roles, Permission.ADD_ROLE_TO_USER),
            tag="Accounts",
            summary="Give roles to users",
            body=RolesBody,
            response=RecordsAffected,
            takes_query=True,
            errors=(errors.EMPTY_RQL, errors.RESOURCE_UNKNOWN),
            audited=Audited(Action.PERMISSIONS_GRANT, "user", when=When.ONCE_ADMITTED),
        )
        yield Route(
            *("POST", "/remove_roles", self.remove_roles, Permission.REMOVE_ROLE_FROM_USER),
            tag="Accounts",
            summary="Take roles from users",
            body=RolesBody,
            response=RecordsAffected,
            takes_query=True,
            errors=(errors.EMPTY_RQL, errors.RESOURCE_UNKNOWN),
            audited=Audited(Action.PERMISSIONS_REVOKE, "user", when=When.ONCE_ADMITTED),
        )

    async def me(self, request: web.Request) -> web.StreamResponse:
        """The user behind the request."""
        caller = caller_of(request)
        subject = await self._subject(request) if caller.user_id else None
        if subject is not None:
            return json_response(subject_view(subject))
        user = self._auth.directory.user(caller.user_id or "")
        if user is None and caller is EVERYTHING:
            return json_response(ANYBODY)
        if user is None:
            raise ContractError(errors.NOT_AUTHENTICATED, "An application is calling, there is no user behind it.")
        return json_response(user_view(user, self._auth.directory))

    async def listing(self, request: web.Request) -> web.StreamResponse:
        """A page of the users that a query finds. Whoever may make users, asks for one address and does not find it,
        may have it registered within the next 10 seconds."""
        query, directory = query_of(request), self._auth.directory
        async with self._turn:
            found = await asyncio.to_thread(find_users, directory, self._auth.accounts.users, query)
        if not found.total:
            self._looked_up(query, caller_of(request))
        return await self._pages.response(
            request, query, Page(found.rows, found.total), lambda user: user_view(user, directory)
        )

    def _looked_up(self, query: Query, caller: Caller) -> None:
        email = email_asked_for(query)
        if email and not self._auth.directory.user_by_email(email) and all(map(caller.may, _MAKES_USERS)):
            self._auth.registrations.looked_up(email, caller.key or "")

    async def details(self, request: web.Request) -> web.StreamResponse:
        """One user: the caller, or any for those who may view users."""
        user_id = object_id(request)
        if user_id != caller_of(request).user_id:
            require(caller_of(request), Permission.VIEW_USER)
        user = self._auth.directory.user(user_id)
        if user is None:
            raise ContractError(errors.RESOURCE_UNKNOWN, f"There is no user {user_id}.")
        return json_response(user_view(user, self._auth.directory))

    async def add_roles(self, request: web.Request) -> web.StreamResponse:
        """Gives roles to all users that the query finds. Nobody gives a role that may do more than they may."""
        where, caller, now_ms = where_of(request), caller_of(request), self._clock()
        role_ids = roles_named(await read_body(request, limits.LOGIN_BODY_MAX_BYTES))
        await record_now(request, request.query_string, roles=" ".join(role_ids))
        users = await self._auth.change(lambda accounts: add_roles(accounts, where, role_ids, caller, now_ms))
        note(request, " ".join(user.id for user in users))
        return json_response(RecordsAffected(len(users)))

    async def remove_roles(self, request: web.Request) -> web.StreamResponse:
        """Takes roles from all users that the query finds, as far as they have them."""
        where, now_ms = where_of(request), self._clock()
        role_ids = roles_named(await read_body(request, limits.LOGIN_BODY_MAX_BYTES))
        await record_now(request, request.query_string, roles=" ".join(role_ids))
        users = await self._auth.change(lambda accounts: take_roles(accounts, where, role_ids, now_ms))
        note(request, " ".join(user.id for user in users))
        return json_response(RecordsAffected(len(users)))

    async def _subject(self, request: web.Request) -> Subject | None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        return await self._auth.bearers.subject(token.strip()) if scheme.lower() == "bearer" else None
