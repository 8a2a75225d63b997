"""Accounts for tests: one of each kind, with passwords that are cheap to check."""

from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from taskd.auth import tokens
from taskd.auth.account_file import render
from taskd.auth.accounts import Accounts, ApiToken, Application, Role, User
from taskd.auth.passwords import Cost, hash_password
from taskd.auth.secret_files import write_secret
from taskd.auth.tokens import TokenKind

PASSWORD = "correct horse battery"
CHEAP = Cost(log_n=4, block_size=8, parallelization=1)
ADA = User(
    id="0" * 23 + "1",
    email="ada@example.com",
    password=hash_password(PASSWORD, CHEAP),
    first_name="Ada",
    last_name="Lovelace",
    roles=("operators",),
)
BOB = User(id="0" * 23 + "2", email="bob@example.com", password=hash_password(PASSWORD, CHEAP))
CONSUMER = Application(id="0" * 23 + "3", name="cli", kind="oauth1", key="consumer", secret="consumer secret")
PUBLIC_CLIENT = Application(id="0" * 23 + "4", name="web", kind="oauth2", key="web-client")
SECRET = "service secret"
CLIENT = Application(
    id="0" * 23 + "5",
    name="service",
    kind="oauth2",
    key="service-client",
    secret=tokens.fingerprint(SECRET),
    permissions=("VIEW_TASKS",),
)
OPERATORS = Role(id="0" * 23 + "6", name="operators", description="Run the place", permissions=("ALL",))
EVERYBODY = Accounts(roles=(OPERATORS,), users=(ADA, BOB), applications=(CONSUMER, PUBLIC_CLIENT, CLIENT))


class Holder(Struct):
    """A user with certain permissions, and an API token that stands for them."""

    user: User
    token: str
    kept: ApiToken


def holder(number: int, *permissions: str) -> Holder:
    """A user of whom nothing but ``number`` and ``permissions`` matters."""
    user = User(f"{number:024x}", f"user{number}@example.com", BOB.password, permissions=permissions)
    token = f"{TokenKind.API}{number}"
    kept = ApiToken(f"{number + 2**32:024x}", f"token{number}", user.id, tokens.fingerprint(token))
    return Holder(user, token, kept)


def with_holders(accounts: Accounts, *holders: Holder) -> Accounts:
    """``accounts``, and these."""
    users, kept = (one.user for one in holders), (one.kept for one in holders)
    return replace(accounts, users=(*accounts.users, *users), tokens=(*accounts.tokens, *kept))


def write_accounts(path: Path, accounts: Accounts = EVERYBODY) -> None:
    write_secret(path, render(accounts))
