"""Who is behind a request, and whether they may do what they ask."""

from typing import Protocol

from aiohttp import web
from msgspec.structs import replace

from taskd.model import errors
from taskd.model.caller import ANONYMOUS, EVERYTHING, Caller
from taskd.model.errors import ContractError
from taskd.model.function import Function, PermissionMode
from taskd.model.permissions import Permission
from taskd.store.base import TaskStore

HINT = "On the daemon's own machine `taskd token` says where those of the account local are, if there is one."
CALLER = web.RequestKey("caller", Caller)


class Authenticate(Protocol):
    """Tells who is behind a request; raises ``ContractError`` where what they show proves nothing.

    A request that shows no credentials at all is ``NOT_AUTHENTICATED``, and no other request is.
    """

    async def __call__(self, request: web.Request) -> Caller:
        """The caller."""


async def trust_everybody(request: web.Request) -> Caller:
    """For a service that asks nobody who they are."""
    return EVERYTHING


class WhoeverItIs:
    """For what tells callers who they are, in a service that asks nobody: they may do everything, and where they prove
    by ``proof`` who they are, they are that."""

    def __init__(self, proof: Authenticate) -> None:
        self._proof = proof

    async def __call__(self, request: web.Request) -> Caller:
        """The caller."""
        try:
            proved = await self._proof(request)
        except ContractError:
            return EVERYTHING
        return replace(EVERYTHING, user_id=proved.user_id, application_id=proved.application_id)


async def ask_nobody(request: web.Request) -> Caller:
    """For what is there before a caller can have shown who they are."""
    return ANONYMOUS


def caller_of(request: web.Request) -> Caller:
    """The caller that the request was authenticated as."""
    return request[CALLER]


def require(caller: Caller, permission: Permission, function_name: str | None = None) -> None:
    """Raises ``ContractError`` (``NO_PERMISSION``), naming the permission, unless the caller has it."""
    if not caller.may(permission, function_name):
        scoped = f" or {permission}:{function_name}" if function_name is not None else ""
        raise ContractError(errors.NO_PERMISSION, f"This needs the permission {permission}{scoped}.")


def called_function(request: web.Request, store: TaskStore, permission: Permission) -> Function:
    """The function that the path names, if its permission mode lets the caller call it.

    To a caller without ``permission``, one that is not known looks like one that needs it.

    :raises ContractError: ``NOT_AUTHENTICATED``, ``NO_PERMISSION`` or, to those who may know, ``RESOURCE_UNKNOWN``.
    """
    name, caller = request.match_info["name"], caller_of(request)
    function = store.function(name)
    mode = PermissionMode.PERMISSION_REQUIRED if function is None else function.permission_mode
    if mode is not PermissionMode.PUBLIC and not caller.is_authenticated:
        raise ContractError(
            errors.NOT_AUTHENTICATED, f"This function needs credentials, and the request shows none. {HINT}"
        )
    if mode is PermissionMode.PERMISSION_REQUIRED:
        require(caller, permission, name)
    if mode is PermissionMode.ALL_USERS and not caller.may_as_user(permission, name):
        message = f"Every user may call this function, but this token is only for what was named; {permission} was not."
        raise ContractError(errors.NO_PERMISSION, message)
    if function is None:
        raise ContractError(errors.RESOURCE_UNKNOWN, f"There is no function {name}.")
    return function
