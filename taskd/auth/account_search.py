"""What a query may ask of users and roles: their fields under the names of the wire, and finding them."""

from collections.abc import Callable, Iterable
from typing import Any

from msgspec.structs import replace

from taskd.auth.account_directory import Directory
from taskd.auth.accounts import Accounts, Role, User, normal_email
from taskd.model.objectid import object_id_seconds
from taskd.rql import in_memory
from taskd.rql.coerce import Kind
from taskd.rql.in_memory import Found
from taskd.rql.query import Compare, Contains, Group, Member, Node, Query, Value

EMAIL = ("email",)
ROLE_KINDS = {
    **dict.fromkeys(("id", "name", "description"), Kind.TEXT),
    **dict.fromkeys(("creation_timestamp", "update_timestamp"), Kind.TIME),
    "permissions": Kind.JSON_OF_TEXTS,
}
USER_KINDS = {
    **dict.fromkeys(("id", "email", "first_name", "last_name", "phone_number", "language"), Kind.TEXT),
    **dict.fromkeys(("creation_timestamp", "update_timestamp"), Kind.TIME),
    "roles": Kind.JSON_OF_TEXTS,
}


def find_users(directory: Directory, users: Iterable[User], query: Query) -> Found[User]:
    """The page of ``users`` that ``query`` asks for; raises as :func:`taskd.rql.in_memory.find` does."""
    query = query if query.where is None else replace(query, where=_with_normal_emails(query.where))
    return in_memory.find(users, _user_document(directory), USER_KINDS, query)


def find_roles(roles: Iterable[Role], query: Query) -> Found[Role]:
    """The page of ``roles`` that ``query`` asks for; raises as :func:`taskd.rql.in_memory.find` does."""
    return in_memory.find(roles, _role_document, ROLE_KINDS, query)


def matching_users(accounts: Accounts, where: Node) -> list[User]:
    """The users for whom ``where`` holds."""
    document = _user_document(Directory(accounts))
    return in_memory.matching(accounts.users, document, USER_KINDS, _with_normal_emails(where))


def matching_roles(accounts: Accounts, where: Node) -> list[Role]:
    """The roles for which ``where`` holds."""
    return in_memory.matching(accounts.roles, _role_document, ROLE_KINDS, where)


def email_asked_for(query: Query) -> str | None:
    """The one address that ``query`` asks for, and nothing else, as it is stored; ``None`` if it asks otherwise."""
    if query.where is None:
        return None
    where = in_memory.coerced(query.where, USER_KINDS)
    if not isinstance(where, Compare) or (where.op, where.path) != ("eq", EMAIL):
        return None
    return normal_email(where.value) if isinstance(where.value, str) else None


def creation_ms(record: User | Role) -> int:
    """When it was made, to the second: its id says so."""
    return object_id_seconds(record.id) * 1000


def update_ms(record: User | Role) -> int:
    """When it was changed last over HTTP, or made."""
    return record.update_ms or creation_ms(record)


def permission_names(role: Role) -> tuple[str, ...]:
    """All that the role holds, whether it means something here or not."""
    return (*role.permissions, *role.other_permissions)


def _role_document(role: Role) -> dict[str, Any]:
    return {
        "id": role.id,
        "name": role.name,
        "description": role.description,
        "permissions": [{"name": name} for name in permission_names(role)],
        "creation_timestamp": creation_ms(role),
        "update_timestamp": update_ms(role),
    }


def _user_document(directory: Directory) -> Callable[[User], dict[str, Any]]:
    roles: dict[str, dict[str, Any]] = {}

    def document(user: User) -> dict[str, Any]:
        held = [roles.setdefault(role.name, _texts_of(role)) for role in directory.roles(user.roles)]
        return {
            "id": user.id,
            "email": user.email,
            "first_name": user.first_name,
            "last_name": user.last_name,
            "phone_number": user.phone_number,
            "language": user.language,
            "roles": held,
            "creation_timestamp": creation_ms(user),
            "update_timestamp": update_ms(user),
        }

    return document


def _texts_of(role: Role) -> dict[str, Any]:
    return {name: value for name, value in _role_document(role).items() if ROLE_KINDS[name] is not Kind.TIME}


def _with_normal_emails(node: Node) -> Node:
    """``node`` with addresses as they are stored: in a query, too, their case does not count."""
    match node:
        case Group():
            return replace(node, conditions=tuple(_with_normal_emails(condition) for condition in node.conditions))
        case Compare() if node.path == EMAIL:
            return replace(node, value=_normal(node.value))
        case Member() if node.path == EMAIL:
            return replace(node, values=tuple(_normal(value) for value in node.values))
        case Compare() | Member() | Contains():
            return node


def _normal(value: Value) -> Value:
    return normal_email(value) if isinstance(value, str) else value
