"""Roles: named sets of permissions, also of permissions that mean something to others only."""

import asyncio
from collections.abc import Iterator

from aiohttp import web

from taskd.api.http.account_views import RecordsAffected, RoleView, role_view
from taskd.api.http.auditing import Audited, When, note, record_now
from taskd.api.http.authorization import caller_of
from taskd.api.http.json_response import json_response
from taskd.api.http.pages import Pages, RecordPage
from taskd.api.http.request_body import read_body
from taskd.api.http.request_parts import object_id, query_of, where_of
from taskd.api.http.routing import Route
from taskd.api.validation.user_body import (
    PermissionsBody,
    RoleBody,
    RoleUpdateBody,
    new_role,
    permissions_named,
    role_update,
)
from taskd.audit.entry import Action
from taskd.auth import role_changes
from taskd.auth.account_search import find_roles
from taskd.auth.service import AuthService
from taskd.model import errors, limits
from taskd.model.clock import Clock
from taskd.model.permissions import Permission
from taskd.store.base import Page

_FOUND_ERRORS = (errors.EMPTY_RQL, errors.RESOURCE_UNKNOWN)


class RoleHandlers:
    """Answers under ``/roles``."""

    def __init__(self, auth: AuthService, pages: Pages, clock: Clock) -> None:
        self._auth = auth
        self._pages = pages
        self._clock = clock
        self._turn = asyncio.Lock()

    def routes(self) -> Iterator[Route]:
        """The routes below ``/users/v1``."""
        yield Route(
            *("GET", "/roles", self.listing, Permission.VIEW_ROLE),
            tag="Accounts",
            summary="List roles",
            response=RecordPage[RoleView],
            takes_query=True,
        )
        yield Route(
            *("POST", "/roles", self.create, Permission.CREATE_ROLE),
            tag="Accounts",
            summary="Create a role",
            body=RoleBody,
            response=RoleView,
            errors=(errors.ALREADY_EXISTS, errors.ILLEGAL_STATE),
            audited=Audited(Action.ROLES_CREATE, "role", when=When.ONCE_ADMITTED),
        )
        yield Route(
            *("DELETE", "/roles", self.remove, Permission.DELETE_ROLE),
            tag="Accounts",
            summary="Delete roles",
            response=RecordsAffected,
            takes_query=True,
            errors=_FOUND_ERRORS,
            audited=Audited(Action.ROLES_DELETE, "role", when=When.ONCE_ADMITTED),
        )
        yield Route(
            *("PUT", "/roles/{id}", self.update, Permission.UPDATE_ROLE),
            tag="Accounts",
            summary="Change a role's name or description",
            body=RoleUpdateBody,
            response=RoleView,
            errors=(errors.ALREADY_EXISTS,),
            audited=Audited(Action.ROLES_UPDATE, "role", when=When.ONCE_ADMITTED),
        )
        yield Route(
            *("POST", "/roles/add_permissions", self.add_permissions, Permission.ADD_ROLE_PERMISSION),
            tag="Accounts",
            summary="Add permissions to roles",
            body=PermissionsBody,
            response=RecordsAffected,
            takes_query=True,
            errors=(*_FOUND_ERRORS, errors.ILLEGAL_STATE),
            audited=Audited(Action.PERMISSIONS_GRANT, "role", when=When.ONCE_ADMITTED),
        )
        yield Route(
            *("POST", "/roles/remove_permissions", self.remove_permissions, Permission.REMOVE_ROLE_PERMISSION),
            tag="Accounts",
            summary="Take permissions from roles",
            body=PermissionsBody,
            response=RecordsAffected,
            takes_query=True,
            errors=_FOUND_ERRORS,
            audited=Audited(Action.PERMISSIONS_REVOKE, "role", when=When.ONCE_ADMITTED),
        )

    async def listing(self, request: web.Request) -> web.StreamResponse:
        """A page of the roles that a query finds."""
        query = query_of(request)
        async with self._turn:
            found = await asyncio.to_thread(find_roles, self._auth.accounts.roles, query)
        return await self._pages.response(request, query, Page(found.rows, found.total), role_view)

    async def create(self, request: web.Request) -> web.StreamResponse:
        """A role that holds nothing yet."""
        name, description = new_role(await read_body(request, limits.LOGIN_BODY_MAX_BYTES))
        await record_now(request, name)
        role = await self._auth.change(lambda accounts: role_changes.create_role(accounts, name, description))
        note(request, role.id, name=name)
        return json_response(role_view(role))

    async def update(self, request: web.Request) -> web.StreamResponse:
        """Changes what a role is called and described as; who has it goes on to have it. Nobody renames a role that may
        do more than they may: issuers of tokens give roles by their names."""
        role_id, caller, now_ms = object_id(request), caller_of(request), self._clock()
        texts = role_update(await read_body(request, limits.LOGIN_BODY_MAX_BYTES))
        await record_now(request, role_id)
        role = await self._auth.change(
            lambda accounts: role_changes.update_role(accounts, role_id, texts, caller, now_ms)
        )
        return json_response(role_view(role))

    async def remove(self, request: web.Request) -> web.StreamResponse:
        """Deletes all roles that the query finds; whoever had one has it no longer."""
        where = where_of(request)
        await record_now(request, request.query_string)
        roles = await self._auth.change(lambda accounts: role_changes.remove_roles(accounts, where))
        note(request, " ".join(role.id for role in roles), names=" ".join(role.name for role in roles))
        return json_response(RecordsAffected(len(roles)))

    async def add_permissions(self, request: web.Request) -> web.StreamResponse:
        """Adds permissions to all roles that the query finds. Nobody adds what they do not hold, but for names that
        mean nothing here: these are kept, and shown with the role."""
        where, caller, now_ms = where_of(request), caller_of(request), self._clock()
        names = permissions_named(await read_body(request, limits.ROLE_BODY_MAX_BYTES))
        await record_now(request, request.query_string, permissions=" ".join(names))
        roles = await self._auth.change(
            lambda accounts: role_changes.add_permissions(accounts, where, names, caller, now_ms)
        )
        note(request, " ".join(role.id for role in roles))
        return json_response(RecordsAffected(len(roles)))

    async def remove_permissions(self, request: web.Request) -> web.StreamResponse:
        """Takes permissions from all roles that the query finds, as far as they hold them."""
        where, now_ms = where_of(request), self._clock()
        names = permissions_named(await read_body(request, limits.ROLE_BODY_MAX_BYTES))
        await record_now(request, request.query_string, permissions=" ".join(names))
        roles = await self._auth.change(
            lambda accounts: role_changes.remove_permissions(accounts, where, names, now_ms)
        )
        note(request, " ".join(role.id for role in roles))
        return json_response(RecordsAffected(len(roles)))
