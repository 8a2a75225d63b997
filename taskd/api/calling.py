"""Who may call which function at once: the permission modes, for direct execution and for API functions."""

from aiohttp import web

from taskd.api.http.authorization import caller_of, require
from taskd.model import errors
from taskd.model.errors import ContractError
from taskd.model.function import Function, PermissionMode
from taskd.model.permissions import Permission
from taskd.store.base import TaskStore


def called_function(request: web.Request, store: TaskStore, permission: Permission) -> Function:
    """The function that the path names, if its permission mode lets the caller call it.

    To a caller without ``permission``, one that is not known looks like one that needs it.

    :raises ContractError: ``NOT_AUTHENTICATED``, ``NO_PERMISSION`` or, to those who may know, ``RESOURCE_UNKNOWN``.
    """
    name, caller = request.match_info["name"], caller_of(request)
    function = store.function(name)
    mode = PermissionMode.PERMISSION_REQUIRED if function is None else function.permission_mode
    if mode is not PermissionMode.PUBLIC and not caller.is_authenticated:
        raise ContractError(errors.NOT_AUTHENTICATED, "This function needs credentials, and the request shows none.")
    if mode is PermissionMode.PERMISSION_REQUIRED:
        require(caller, permission, name)
    if function is None:
        raise ContractError(errors.RESOURCE_UNKNOWN, f"There is no function {name}.")
    return function
