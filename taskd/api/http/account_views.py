"""Users and roles as clients see them: in snake_case, with times in epoch milliseconds, as this service has them."""

from msgspec import UNSET, Struct, UnsetType

from taskd.auth.account_directory import Directory
from taskd.auth.account_search import creation_ms, permission_names, update_ms
from taskd.auth.accounts import Role, User
from taskd.auth.oidc import Subject


class PermissionView(Struct):
    """A permission that a role grants, maybe for one function only, or one that means something elsewhere."""

    name: str


class RoleView(Struct):
    """A role that users may have."""

    id: str
    name: str
    description: str
    permissions: list[PermissionView]
    creation_timestamp: int
    update_timestamp: int


class UserView(Struct):
    """A user. One of an issuer has no more than the issuer says."""

    id: str
    email: str
    first_name: str
    last_name: str
    roles: list[RoleView]
    phone_number: str | UnsetType = UNSET
    language: str | UnsetType = UNSET
    activation: bool | UnsetType = UNSET
    creation_timestamp: int | UnsetType = UNSET
    update_timestamp: int | UnsetType = UNSET


class RecordsAffected(Struct):
    """How many records a change was made to."""

    records_affected: int


ANYBODY = UserView("0" * 24, "anybody@localhost", "Anybody", "", [])
"""Who calls a service that asks nobody who they are."""


def user_view(user: User, directory: Directory) -> UserView:
    """``user``; here nobody has to be activated."""
    return UserView(
        id=user.id,
        email=user.email,
        first_name=user.first_name,
        last_name=user.last_name,
        roles=[role_view(role) for role in directory.roles(user.roles)],
        phone_number=user.phone_number,
        language=user.language,
        activation=True,
        creation_timestamp=creation_ms(user),
        update_timestamp=update_ms(user),
    )


def subject_view(subject: Subject) -> UserView:
    """A user whom an issuer vouches for."""
    return UserView(subject.id, subject.email, subject.first_name, subject.last_name, [])


def role_view(role: Role) -> RoleView:
    """``role`` with all that it holds."""
    return RoleView(
        id=role.id,
        name=role.name,
        description=role.description,
        permissions=[PermissionView(name) for name in permission_names(role)],
        creation_timestamp=creation_ms(role),
        update_timestamp=update_ms(role),
    )
