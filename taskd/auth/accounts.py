"""The accounts: users, applications, API tokens and roles, as ``auth.toml`` has them, and the rules they keep."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Literal

from msgspec import Struct

from taskd.auth import passwords
from taskd.model.errors import TaskdError
from taskd.model.objectid import is_object_id
from taskd.model.permissions import ALIASES, ALL, Permission

EMAIL_MAX_CHARS = 256
_PER_FUNCTION = (Permission.EXECUTE_TASK_FUNCTION, Permission.EXECUTE_API_FUNCTION)

Kind = Literal["oauth1", "oauth2"]


class AccountError(TaskdError):
    """The accounts cannot be changed so; the message says what to do."""


class Role(Struct, frozen=True, forbid_unknown_fields=True):
    """A named set of permissions."""

    id: str
    name: str
    description: str = ""
    permissions: tuple[str, ...] = ()
    other_permissions: tuple[str, ...] = ()
    """Names that meant nothing here when they were added, kept for the functions and services that they do mean
    something to. They stay without effect, also should a later version know them."""
    update_ms: int = 0
    """When it was changed over HTTP; 0 if never."""


class User(Struct, frozen=True, forbid_unknown_fields=True):
    """Someone with a password."""

    id: str
    email: str
    password: str
    """As :func:`taskd.auth.passwords.hash_password` writes it."""
    first_name: str = ""
    last_name: str = ""
    roles: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()
    generation: int = 0
    """Tokens of an earlier generation are void."""
    phone_number: str = ""
    language: str = ""
    update_ms: int = 0
    """When it was changed over HTTP; 0 if never."""


class Application(Struct, frozen=True, forbid_unknown_fields=True):
    """A program that users log in with, or that calls for itself with permissions of its own."""

    id: str
    name: str
    kind: Kind
    key: str
    """The OAuth 1 consumer key, or the OAuth 2 client id."""
    secret: str = ""
    """OAuth 1: the secret itself, since its signatures are made with it. OAuth 2: its SHA-256; empty if public."""
    roles: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()


class ApiToken(Struct, frozen=True, forbid_unknown_fields=True):
    """A token that stands for its owner, a user or an application, until it is revoked."""

    id: str
    name: str
    owner: str
    """The id of the user or application."""
    hash: str
    permissions: tuple[str, ...] = ()
    """If there are any, the token can do no more than these of what its owner may."""
    expiry_ms: int = 0
    """0 means never."""


Principal = User | Application
"""What can be granted permissions and roles, and own API tokens."""
Record = Role | User | Application | ApiToken


class Accounts(Struct, frozen=True, forbid_unknown_fields=True):
    """Everything in ``auth.toml``."""

    roles: tuple[Role, ...] = ()
    users: tuple[User, ...] = ()
    applications: tuple[Application, ...] = ()
    tokens: tuple[ApiToken, ...] = ()


def normal_email(email: str) -> str:
    """How ``email`` is stored and looked up: case does not count."""
    return email.strip().lower()


def is_permission(name: str) -> bool:
    """Whether ``name`` can be granted: a permission, one for a single function, or ``ALL``."""
    whole, colon, function = name.partition(":")
    if colon:
        return whole in _PER_FUNCTION and bool(function)
    return name == ALL or name in Permission.__members__ or name in ALIASES


def expand(names: Iterable[str]) -> frozenset[str]:
    """``names`` by the one name that each has here; where ``ALL`` is among them, with every other besides."""
    found = {ALIASES.get(name, name) for name in names}
    if ALL in found:
        found.update(permission.value for permission in Permission)
    return frozenset(found)


def problems(accounts: Accounts) -> Iterator[str]:
    """One line for each rule that ``accounts`` break; none quotes a secret."""
    yield from _repeated("role", (role.name for role in accounts.roles))
    yield from _repeated("user", (user.email for user in accounts.users))
    yield from _repeated("application", (app.name for app in accounts.applications))
    yield from _repeated("application key", (app.key for app in accounts.applications))
    yield from _repeated("token", (token.name for token in accounts.tokens))
    yield from _repeated("id", _ids(accounts))
    yield from (f"the id {id_!r} is not 24 hexadecimal digits" for id_ in _ids(accounts) if not is_object_id(id_))
    yield from _user_problems(accounts.users)
    yield from (f"application {app.name} needs a key" for app in accounts.applications if not app.key)
    yield from (f"application {app.name} needs a secret" for app in accounts.applications if _lacks_secret(app))
    yield from _unknown_owners(accounts)
    yield from _grant_problems(accounts)


def _ids(accounts: Accounts) -> Iterator[str]:
    records: tuple[Record, ...] = (*accounts.roles, *accounts.users, *accounts.applications, *accounts.tokens)
    yield from (record.id for record in records)


def _repeated(what: str, names: Iterable[str]) -> Iterator[str]:
    yield from (f"{what} {name} is there {times} times" for name, times in Counter(names).items() if times > 1)


def _user_problems(users: tuple[User, ...]) -> Iterator[str]:
    for user in users:
        if user.email != normal_email(user.email) or not 0 < len(user.email) <= EMAIL_MAX_CHARS:
            yield f"user {user.email}: the email must be in lower case, of at most {EMAIL_MAX_CHARS} characters"
        if not passwords.is_hash(user.password):
            yield f"user {user.email}: the password is no hash of ours; set one with `taskd auth user passwd`"


def _lacks_secret(app: Application) -> bool:
    return app.kind == "oauth1" and not app.secret


def _unknown_owners(accounts: Accounts) -> Iterator[str]:
    principals: tuple[Principal, ...] = (*accounts.users, *accounts.applications)
    owners = {principal.id for principal in principals}
    yield from (
        f"token {token.name} has no owner {token.owner}" for token in accounts.tokens if token.owner not in owners
    )


def _grant_problems(accounts: Accounts) -> Iterator[str]:
    roles = {role.name for role in accounts.roles}
    principals: tuple[Principal, ...] = (*accounts.users, *accounts.applications)
    for principal in principals:
        yield from (f"there is no role {name}" for name in principal.roles if name not in roles)
    records: tuple[Record, ...] = (*accounts.roles, *principals, *accounts.tokens)
    for granted in records:
        yield from (f"there is no permission {name}" for name in granted.permissions if not is_permission(name))
