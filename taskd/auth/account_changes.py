"""Changes of the accounts, each a pure function from accounts to accounts; their rules are checked when written."""

import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from msgspec.structs import replace

from taskd.auth import tokens
from taskd.auth.accounts import AccountError, Accounts, ApiToken, Application, Kind, Principal, Role, User, normal_email
from taskd.auth.passwords import PASSWORD_MAX_CHARS, UNUSABLE_CHAR, hash_password
from taskd.auth.tokens import TokenKind
from taskd.model.objectid import ObjectIdFactory

ROLE_PREFIX = "role:"
PASSWORD_MIN_CHARS = 8
_SECRET_BYTES = 32
_KEY_BYTES = 16
_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

Combine = Callable[[Sequence[str], Sequence[str]], tuple[str, ...]]
Named = TypeVar("Named", Role, Application, ApiToken)
G = TypeVar("G", Role, User, Application)
R = TypeVar("R", User, Application, ApiToken)
_new_id = ObjectIdFactory()


def add_user(accounts: Accounts, email: str, password: str, first_name: str, last_name: str) -> Accounts:
    """Adds a user, who may do nothing yet."""
    email = normal_email(email)
    if not _EMAIL.fullmatch(email):
        raise AccountError(f"{email!r} is not an email address such as ada@example.com.")
    if any(user.email == email for user in accounts.users):
        raise AccountError(f"There is a user {email} already; `taskd auth user passwd` sets another password.")
    user = User(_new_id(), email, _hashed(password), first_name, last_name)
    return replace(accounts, users=(*accounts.users, user))


def set_password(accounts: Accounts, email: str, password: str) -> Accounts:
    """Sets another password for a user. Every earlier login of theirs ends."""
    return _replaced(accounts, replace(_ended(find_user(accounts, email)), password=_hashed(password)))


def end_logins(accounts: Accounts, email: str) -> Accounts:
    """Ends every login of the user; API tokens stay."""
    return _replaced(accounts, _ended(find_user(accounts, email)))


def remove_user(accounts: Accounts, email: str) -> Accounts:
    """Removes the user, with their API tokens."""
    user = find_user(accounts, email)
    return replace(accounts, users=_without(accounts.users, user), tokens=_not_of(accounts.tokens, user))


def add_application(accounts: Accounts, name: str, kind: Kind, *, public: bool) -> tuple[Accounts, Application, str]:
    """Adds an application; returns it, and its secret, which is empty for one that is ``public``."""
    _require_new_name(accounts.applications, name, "an application")
    secret = "" if public else secrets.token_urlsafe(_SECRET_BYTES)
    kept = secret if kind == "oauth1" or public else tokens.fingerprint(secret)
    application = Application(_new_id(), name, kind, secrets.token_hex(_KEY_BYTES), kept)
    return replace(accounts, applications=(*accounts.applications, application)), application, secret


def remove_application(accounts: Accounts, name: str) -> Accounts:
    """Removes the application, with its API tokens and the logins through it."""
    app = find_application(accounts, name)
    return replace(accounts, applications=_without(accounts.applications, app), tokens=_not_of(accounts.tokens, app))


def add_token(
    accounts: Accounts, name: str, owner: str, permissions: Sequence[str], expiry_ms: int
) -> tuple[Accounts, str]:
    """Adds an API token, for a user or an application; returns the token, of which only a hash is kept."""
    _require_new_name(accounts.tokens, name, "a token")
    token = TokenKind.API + secrets.token_urlsafe(_SECRET_BYTES)
    kept = ApiToken(
        _new_id(), name, find_principal(accounts, owner).id, tokens.fingerprint(token), tuple(permissions), expiry_ms
    )
    return replace(accounts, tokens=(*accounts.tokens, kept)), token


def revoke_token(accounts: Accounts, name: str) -> Accounts:
    """Removes the API token."""
    token = _named(accounts.tokens, name)
    if token is None:
        raise AccountError(f"There is no token {name}; `taskd auth token list` shows those there are.")
    return replace(accounts, tokens=_without(accounts.tokens, token))


def grant(accounts: Accounts, subject: str, names: Sequence[str]) -> Accounts:
    """Grants permissions and ``role:`` names to a user, an application or a ``role:``, which is made if need be."""
    return _change_grants(_with_role(accounts, subject), subject, names, _union)


def revoke(accounts: Accounts, subject: str, names: Sequence[str]) -> Accounts:
    """The opposite of :func:`grant`; a role without permissions stays."""
    return _change_grants(accounts, subject, names, _minus)


def find_user(accounts: Accounts, email: str) -> User:
    """The user with this email."""
    for user in accounts.users:
        if user.email == normal_email(email):
            return user
    raise AccountError(f"There is no user {email}; `taskd auth user list` shows those there are.")


def find_application(accounts: Accounts, name: str) -> Application:
    """The application of this name."""
    application = _named(accounts.applications, name)
    if application is None:
        raise AccountError(f"There is no application {name}; `taskd auth app list` shows those there are.")
    return application


def find_principal(accounts: Accounts, name: str) -> Principal:
    """The user with this email, or the application of this name."""
    return find_user(accounts, name) if "@" in name else find_application(accounts, name)


def _change_grants(accounts: Accounts, subject: str, names: Sequence[str], combine: Combine) -> Accounts:
    roles = [name.removeprefix(ROLE_PREFIX) for name in names if name.startswith(ROLE_PREFIX)]
    permissions = [name for name in names if not name.startswith(ROLE_PREFIX)]
    if subject.startswith(ROLE_PREFIX):
        if roles:
            raise AccountError("A role holds permissions only, no other roles.")
        role = _find_role(accounts, subject)
        return _replaced(accounts, replace(role, permissions=combine(role.permissions, permissions)))
    principal = find_principal(accounts, subject)
    changed = {"roles": combine(principal.roles, roles), "permissions": combine(principal.permissions, permissions)}
    return _replaced(accounts, replace(principal, **changed))


def _with_role(accounts: Accounts, subject: str) -> Accounts:
    name = subject.removeprefix(ROLE_PREFIX)
    if not subject.startswith(ROLE_PREFIX) or _named(accounts.roles, name):
        return accounts
    _require_new_name(accounts.roles, name, "a role")
    return replace(accounts, roles=(*accounts.roles, Role(_new_id(), name)))


def _find_role(accounts: Accounts, subject: str) -> Role:
    role = _named(accounts.roles, subject.removeprefix(ROLE_PREFIX))
    if role is None:
        raise AccountError(f"There is no {subject}; `taskd auth grant {subject} PERMISSION` makes it.")
    return role


def _hashed(password: str) -> str:
    if not PASSWORD_MIN_CHARS <= len(password) <= PASSWORD_MAX_CHARS:
        raise AccountError(f"A password has {PASSWORD_MIN_CHARS} to {PASSWORD_MAX_CHARS} characters.")
    if UNUSABLE_CHAR in password:
        raise AccountError("A password must not hold a zero byte.")
    return hash_password(password)


def _ended(user: User) -> User:
    return replace(user, generation=user.generation + 1)


def _replaced(accounts: Accounts, record: Role | Principal) -> Accounts:
    """``accounts`` with ``record`` in the place of the one that has its id."""
    if isinstance(record, Role):
        return replace(accounts, roles=_swapped(accounts.roles, record))
    if isinstance(record, User):
        return replace(accounts, users=_swapped(accounts.users, record))
    return replace(accounts, applications=_swapped(accounts.applications, record))


def _swapped(records: tuple[G, ...], record: G) -> tuple[G, ...]:
    return tuple(record if other.id == record.id else other for other in records)


def _without(records: tuple[R, ...], gone: R) -> tuple[R, ...]:
    return tuple(record for record in records if record is not gone)


def _not_of(api_tokens: tuple[ApiToken, ...], owner: Principal) -> tuple[ApiToken, ...]:
    return tuple(token for token in api_tokens if token.owner != owner.id)


def _named(records: Iterable[Named], name: str) -> Named | None:
    return next((record for record in records if record.name == name), None)


def _require_new_name(records: Iterable[Named], name: str, what: str) -> None:
    if not _NAME.fullmatch(name):
        raise AccountError(f"{name!r} is no name: use at most 64 letters, digits, '.', '_' and '-'.")
    if _named(records, name):
        raise AccountError(f"There is {what} {name} already.")


def _union(held: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*held, *names)))


def _minus(held: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    missing = [name for name in names if name not in held]
    if missing:
        raise AccountError(f"Not granted, so not revoked: {', '.join(missing)}.")
    return tuple(name for name in held if name not in names)
