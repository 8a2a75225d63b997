"""Bodies about users and roles: who registers, what a role is called, and what is given and taken.

Their fields are in snake_case, as everything of this service.
"""

import re
from typing import Annotated

from msgspec import Meta, Struct

from taskd.api.validation.body_decoder import BodyDecoder, field_error
from taskd.auth.account_changes import PASSWORD_MIN_CHARS
from taskd.auth.accounts import EMAIL_MAX_CHARS, normal_email
from taskd.auth.passwords import PASSWORD_MAX_CHARS, UNUSABLE_CHAR
from taskd.auth.role_changes import PERMISSION
from taskd.model.limits import ROLE_PERMISSIONS_MAX
from taskd.model.objectid import is_object_id

_LINE = r"^[^\x00-\x1f\x7f-\x9f]*$"
_LINE_RULE = "a string of at most {} characters, none of them a control character"
_LINE_MAX_CHARS = 256
_ROLE_NAME_MAX_CHARS = 128
_ROLES_MAX = 100
_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f-\x9f]+@[^@\s\x00-\x1f\x7f-\x9f]+\.[^@\s\x00-\x1f\x7f-\x9f]+")

Line = Annotated[str, Meta(pattern=_LINE, max_length=_LINE_MAX_CHARS)]
OptionalLine = Annotated[Line | None, Meta(description=_LINE_RULE.format(_LINE_MAX_CHARS))]


class RegisterBody(Struct):
    """``POST /register``: a user to be."""

    email: Annotated[str, Meta(description="a string")]
    password: Annotated[str, Meta(description="a string")]
    first_name: OptionalLine = None
    last_name: OptionalLine = None
    phone_number: OptionalLine = None
    language: OptionalLine = None


class RoleBody(Struct):
    """``POST /roles``: a role to be."""

    name: Annotated[str, Meta(description="a string")]
    description: OptionalLine = None


class RoleUpdateBody(Struct):
    """``PUT /roles/{id}``: what is to change."""

    name: Annotated[str | None, Meta(description="a string")] = None
    description: OptionalLine = None


class PermissionsBody(Struct):
    """Permissions to give to roles, or to take from them."""

    permissions: Annotated[tuple[str, ...], Meta(description="a list of strings")]


class RolesBody(Struct):
    """Roles to give to users, or to take from them, by their ids."""

    roles: Annotated[tuple[str, ...], Meta(description="a list of ids of roles")]


_decode_registration = BodyDecoder(RegisterBody)
_decode_role = BodyDecoder(RoleBody)
_decode_role_update = BodyDecoder(RoleUpdateBody)
_decode_permissions = BodyDecoder(PermissionsBody)
_decode_roles = BodyDecoder(RolesBody)


def registration(body: bytes) -> RegisterBody:
    """Who registers, their email as it is stored.

    :raises ContractError: ``BODY_FORMAT``, ``MISSING_FIELDS`` or ``FIELD_FORMAT``.
    """
    fields = _decode_registration(body)
    fields.email = normal_email(fields.email)
    if len(fields.email) > EMAIL_MAX_CHARS or not _EMAIL.fullmatch(fields.email):
        raise field_error("email", f"be an address such as ada@example.com, of at most {EMAIL_MAX_CHARS} characters")
    if not PASSWORD_MIN_CHARS <= len(fields.password) <= PASSWORD_MAX_CHARS or UNUSABLE_CHAR in fields.password:
        rule = f"have {PASSWORD_MIN_CHARS} to {PASSWORD_MAX_CHARS} characters, none of them a zero byte"
        raise field_error("password", rule)
    return fields


def new_role(body: bytes) -> tuple[str, str]:
    """The name and the description of a role.

    :raises ContractError: as :func:`registration` does.
    """
    fields = _decode_role(body)
    return _role_name(fields.name), fields.description or ""


def role_update(body: bytes) -> tuple[str | None, str | None]:
    """The new name and the new description of a role, where there are any.

    :raises ContractError: as :func:`registration` does.
    """
    fields = _decode_role_update(body)
    return None if fields.name is None else _role_name(fields.name), fields.description


def permissions_named(body: bytes) -> tuple[str, ...]:
    """The permissions to give or to take, one at least.

    :raises ContractError: as :func:`registration` does.
    """
    names = _decode_permissions(body).permissions
    if not 0 < len(names) <= ROLE_PERMISSIONS_MAX:
        raise field_error("permissions", f"have 1 to {ROLE_PERMISSIONS_MAX} names")
    if not all(PERMISSION.fullmatch(name) for name in names):
        raise field_error("permissions", "be names of 1 to 200 characters without white space")
    return names


def roles_named(body: bytes) -> tuple[str, ...]:
    """The ids of the roles to give or to take, one at least.

    :raises ContractError: as :func:`registration` does.
    """
    ids = _decode_roles(body).roles
    if not 0 < len(ids) <= _ROLES_MAX or not all(map(is_object_id, ids)):
        raise field_error("roles", f"have 1 to {_ROLES_MAX} ids of 24 hexadecimal digits")
    return ids


def _role_name(name: str) -> str:
    if not 0 < len(name) <= _ROLE_NAME_MAX_CHARS or not re.fullmatch(_LINE, name) or name != name.strip():
        rule = f"have 1 to {_ROLE_NAME_MAX_CHARS} characters, none of them a control character, nor begin or end blank"
        raise field_error("name", rule)
    return name
