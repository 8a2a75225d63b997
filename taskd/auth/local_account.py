"""The account ``local``: made where nobody has an account yet, so that callers are asked who they are from the start.

It may do everything. Its credentials are files of the data directory, which the daemon's own user alone can read: who
can read them could read all else that is there as well. They are a user, an application and an API token like others,
and are not made again once they are removed: then there is a file of accounts, if an empty one.
"""

import logging
import secrets
from pathlib import Path

import msgspec
from msgspec import Struct

from taskd.auth import account_changes, tokens
from taskd.auth.account_directory import Directory
from taskd.auth.account_file import FILE_NAME, editing
from taskd.auth.accounts import Accounts
from taskd.auth.header_files import HEADER_FILE, header_line, read_token
from taskd.auth.logins import oauth1_token
from taskd.auth.secret_files import write_secret
from taskd.auth.signing_key import load_key
from taskd.model.objectid import ObjectIdFactory
from taskd.model.permissions import ALL

log = logging.getLogger(__name__)

NAME = "local"
"""Of the application and of the API token."""
EMAIL = "local@localhost"
OAUTH1_FILE = "local.json"


class OAuth1Pair(Struct, rename="camel"):
    """What an OAuth 1 client needs: under the names that the JavaScript SDK takes."""

    consumer_key: str
    consumer_secret: str
    token: str
    token_secret: str


def make_local_account(data: Path) -> None:
    """Makes the account if the data directory ``data`` has no file of accounts.

    Its credentials are written before the accounts: a process that is killed in between makes all of them anew.

    :raises SecretFileError: a file cannot be written.
    """
    path = data / FILE_NAME
    if path.exists():
        return
    with editing(path) as edit:
        if edit.accounts == Accounts():  # else somebody else was faster
            edit.accounts, token = _accounts(secrets.token_urlsafe())
            write_secret(data / HEADER_FILE, header_line(token))
            write_secret(data / OAUTH1_FILE, msgspec.json.encode(_oauth1_pair(data, edit.accounts)).decode() + "\n")
    log.info("There were no accounts, so one called local is made. `taskd token` says where its token is.")


def _accounts(password: str) -> tuple[Accounts, str]:
    """The accounts with nobody but the user ``local``, whose password nobody knows; and the API token."""
    accounts = account_changes.add_user(Accounts(), EMAIL, password, "", "")
    accounts = account_changes.grant(accounts, EMAIL, (ALL,))
    accounts, _, _ = account_changes.add_application(accounts, NAME, "oauth1", public=False)
    return account_changes.add_token(accounts, NAME, EMAIL, (), 0)


def _oauth1_pair(data: Path, accounts: Accounts) -> OAuth1Pair:
    user, application = account_changes.find_user(accounts, EMAIL), account_changes.find_application(accounts, NAME)
    issued = oauth1_token(load_key(data), ObjectIdFactory()(), user, application)
    return OAuth1Pair(application.key, application.secret, issued.token, issued.secret)


def local_token(data: Path, directory: Directory) -> str | None:
    """The API token of the account, if it is still good."""
    token = read_token(data / HEADER_FILE)
    return token if token and directory.token(tokens.fingerprint(token)) else None
