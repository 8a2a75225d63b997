"""Changes of roles, and of who has them, as callers make them over HTTP: each is made of the accounts as they are then.

Nobody gives what they do not hold. A name that means nothing here may be given by whoever may give any: it is kept
apart, and stays without effect.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from msgspec.structs import replace

from taskd.auth.account_search import matching_roles, matching_users, permission_names
from taskd.auth.accounts import Accounts, Application, Role, User, is_permission
from taskd.model import errors
from taskd.model.caller import Caller
from taskd.model.errors import ContractError
from taskd.model.limits import ROLE_PERMISSIONS_MAX, ROLES_MAX
from taskd.model.objectid import ObjectIdFactory
from taskd.model.permissions import ALIASES, ALL
from taskd.rql.query import Node

T = TypeVar("T", Role, User)
P = TypeVar("P", User, Application)

PERMISSION = re.compile(r"[^\s\x00-\x1f\x7f-\x9f]{1,200}")
"""What a permission of whatever service may be called."""
_new_id = ObjectIdFactory()


def create_role(accounts: Accounts, name: str, description: str) -> tuple[Accounts, Role]:
    """Adds a role that holds nothing yet.

    :raises ContractError: ``ALREADY_EXISTS``, or ``ILLEGAL_STATE`` if there are as many as there may be.
    """
    _require_free(accounts, name)
    if len(accounts.roles) >= ROLES_MAX:
        raise ContractError(errors.ILLEGAL_STATE, f"There are {ROLES_MAX} roles already, and may be no more.")
    role = Role(_new_id(), name, description)
    return replace(accounts, roles=(*accounts.roles, role)), role


def update_role(
    accounts: Accounts, role_id: str, texts: tuple[str | None, str | None], caller: Caller, now_ms: int
) -> tuple[Accounts, Role]:
    """Gives a role another name and description, of ``texts`` those that are given; who has it goes on to have it.

    A name is more than a word: issuers of tokens name roles, so whoever renames one may give it to many.

    :raises ContractError: ``RESOURCE_UNKNOWN``, ``ALREADY_EXISTS``, or ``NO_PERMISSION`` if ``caller`` lacks what a
        role holds that is to be renamed.
    """
    [former], (name, description) = _roles_of(accounts, [role_id]), texts
    if name not in (None, former.name):
        require_held(caller, former.permissions)
        _require_free(accounts, name or "")
    role = replace(former, name=name or former.name, update_ms=now_ms)
    role = role if description is None else replace(role, description=description)

    def renamed(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(role.name if each == former.name else each for each in names)

    accounts = replace(accounts, roles=_swapped(accounts.roles, [role]))
    return _with_names_of_roles(accounts, renamed), role


def remove_roles(accounts: Accounts, where: Node) -> tuple[Accounts, list[Role]]:
    """Removes the roles that ``where`` finds; whoever had one has it no longer.

    :raises ContractError: ``RESOURCE_UNKNOWN`` if there are none.
    """
    found = _required(matching_roles(accounts, where), "role")
    gone = {role.name for role in found}

    def remaining(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name for name in names if name not in gone)

    kept = tuple(role for role in accounts.roles if role.name not in gone)
    return _with_names_of_roles(replace(accounts, roles=kept), remaining), found


def add_permissions(
    accounts: Accounts, where: Node, names: Sequence[str], caller: Caller, now_ms: int
) -> tuple[Accounts, list[Role]]:
    """Adds permissions to the roles that ``where`` finds.

    :raises ContractError: ``NO_PERMISSION`` if ``caller`` lacks one of them, ``RESOURCE_UNKNOWN`` if there is no such
        role, ``ILLEGAL_STATE`` if a role would hold more than it may.
    """
    require_held(caller, names)
    found = _required(matching_roles(accounts, where), "role")
    changed = [replace(_with_added(role, names), update_ms=now_ms) for role in found]
    for role in changed:
        if len(permission_names(role)) > ROLE_PERMISSIONS_MAX:
            message = f"The role {role.name} may hold {ROLE_PERMISSIONS_MAX} permissions at most."
            raise ContractError(errors.ILLEGAL_STATE, message)
    return replace(accounts, roles=_swapped(accounts.roles, changed)), found


def remove_permissions(
    accounts: Accounts, where: Node, names: Sequence[str], now_ms: int
) -> tuple[Accounts, list[Role]]:
    """Takes permissions from the roles that ``where`` finds, as far as they hold them.

    :raises ContractError: ``RESOURCE_UNKNOWN`` if there is no such role.
    """
    found = _required(matching_roles(accounts, where), "role")
    changed = [
        replace(
            role,
            permissions=_minus(role.permissions, names),
            other_permissions=_minus(role.other_permissions, names),
            update_ms=now_ms,
        )
        for role in found
    ]
    return replace(accounts, roles=_swapped(accounts.roles, changed)), found


def add_roles(
    accounts: Accounts, where: Node, role_ids: Sequence[str], caller: Caller, now_ms: int
) -> tuple[Accounts, list[User]]:
    """Gives roles to the users that ``where`` finds.

    :raises ContractError: ``NO_PERMISSION`` if ``caller`` lacks what a role holds, ``RESOURCE_UNKNOWN`` if there is no
        such user or role.
    """
    roles = _roles_of(accounts, role_ids)
    for role in roles:
        require_held(caller, role.permissions)
    names = [role.name for role in roles]

    def added(held: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*held, *names)))

    return _with_roles(accounts, where, added, now_ms)


def take_roles(accounts: Accounts, where: Node, role_ids: Sequence[str], now_ms: int) -> tuple[Accounts, list[User]]:
    """Takes roles from the users that ``where`` finds, as far as they have them.

    :raises ContractError: ``RESOURCE_UNKNOWN`` if there is no such user or role.
    """
    names = [role.name for role in _roles_of(accounts, role_ids)]
    return _with_roles(accounts, where, lambda held: _minus(held, names), now_ms)


def require_held(caller: Caller, names: Iterable[str]) -> None:
    """Raises ``ContractError`` (``NO_PERMISSION``) if ``caller`` lacks one of these permissions."""
    for name in names:
        known = ALIASES.get(name, name)
        if is_permission(known) and not {known, known.partition(":")[0], ALL} & caller.permissions:
            message = f"Nobody can give what they do not hold, and this caller does not hold {name}."
            raise ContractError(errors.NO_PERMISSION, message)


def _with_roles(
    accounts: Accounts, where: Node, change: Callable[[tuple[str, ...]], tuple[str, ...]], now_ms: int
) -> tuple[Accounts, list[User]]:
    found = _required(matching_users(accounts, where), "user")
    changed = [replace(user, roles=change(user.roles), update_ms=now_ms) for user in found]
    return replace(accounts, users=_swapped(accounts.users, changed)), found


def _with_names_of_roles(accounts: Accounts, change: Callable[[tuple[str, ...]], tuple[str, ...]]) -> Accounts:
    def changed(principals: tuple[P, ...]) -> tuple[P, ...]:
        return tuple(replace(each, roles=change(each.roles)) for each in principals)

    return replace(accounts, users=changed(accounts.users), applications=changed(accounts.applications))


def _with_added(role: Role, names: Sequence[str]) -> Role:
    known = dict.fromkeys((*role.permissions, *filter(is_permission, names)))
    others = dict.fromkeys((*role.other_permissions, *(name for name in names if not is_permission(name))))
    kept_apart = tuple(name for name in others if name not in known)
    return replace(role, permissions=tuple(known), other_permissions=kept_apart)


def _roles_of(accounts: Accounts, role_ids: Iterable[str]) -> list[Role]:
    by_id = {role.id: role for role in accounts.roles}
    for role_id in role_ids:
        if role_id not in by_id:
            raise ContractError(errors.RESOURCE_UNKNOWN, f"There is no role with the id {role_id}.")
    return [by_id[role_id] for role_id in role_ids]


def _require_free(accounts: Accounts, name: str) -> None:
    if any(role.name == name for role in accounts.roles):
        raise ContractError(errors.ALREADY_EXISTS, f"There already is a role {name}.")


def _required(found: list[T], what: str) -> list[T]:
    if not found:
        raise ContractError(errors.RESOURCE_UNKNOWN, f"There is no {what} that the query finds.")
    return found


def _swapped(records: tuple[T, ...], changed: Sequence[T]) -> tuple[T, ...]:
    by_id: dict[str, Any] = {record.id: record for record in changed}
    return tuple(by_id.get(record.id, record) for record in records)


def _minus(held: tuple[str, ...], names: Iterable[str]) -> tuple[str, ...]:
    gone = frozenset(names)
    return tuple(name for name in held if name not in gone)
