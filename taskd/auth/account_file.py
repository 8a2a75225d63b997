"""``auth.toml``: the accounts as text, read with every problem named, and edited by one at a time.

A node reads its own file, at the start and on SIGHUP, which is safe on one node: the file is edited under a lock and
replaced in one step. Accounts of a service of many nodes belong behind a store that they share, since what is revoked
in one file stays valid on the nodes that read another.
"""

import contextlib
import tomllib
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import fields

from taskd.auth.accounts import AccountError, Accounts, problems
from taskd.auth.secret_files import locked, read_secret, write_secret
from taskd.model.errors import TaskdError
from taskd.system.toml import toml_literal

FILE_NAME = "auth.toml"
_HEAD = """\
# Who may call taskd. `taskd auth` edits this file, and comments do not survive that.
# It must stay readable by its owner alone: the secrets of OAuth 1 applications stand here as they are.
"""


class AccountFileError(TaskdError):
    """``auth.toml`` cannot be used; the message has one line for each thing to put right."""


def read_accounts(path: Path) -> Accounts:
    """The accounts in the file at ``path``; none if it is not there.

    :raises AccountFileError: it is not TOML, or breaks a rule.
    :raises SecretFileError: it cannot be read, or others may.
    """
    text = read_secret(path)
    if text is None:
        return Accounts()
    try:
        accounts = msgspec.convert(tomllib.loads(text), Accounts)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise AccountFileError(f"{path}: {error}") from None
    found = list(problems(accounts))
    if found:
        raise AccountFileError("\n".join(f"{path}: {problem}" for problem in found))
    return accounts


class Edit:
    """The accounts under a lock: what :attr:`accounts` is set to is written when the edit ends well."""

    def __init__(self, accounts: Accounts) -> None:
        self.accounts = accounts


@contextlib.contextmanager
def editing(path: Path, patience_s: float | None = None) -> Iterator[Edit]:
    """Reads the accounts, lets them be changed, and writes them if they are. Others that edit them are waited for, for
    ``patience_s`` or without end.

    :raises AccountError: the change breaks a rule; the file stays as it was.
    """
    with locked(path, patience_s):
        edit = Edit(before := read_accounts(path))
        yield edit
        if found := list(problems(edit.accounts)):
            raise AccountError("; ".join(found))
        if edit.accounts != before:
            write_secret(path, render(edit.accounts))


def render(accounts: Accounts) -> str:
    """``accounts`` as TOML."""
    blocks = [_HEAD]
    for name in Accounts.__struct_fields__:
        blocks += [_table(name, record) for record in getattr(accounts, name)]
    return "\n".join(blocks)


def _table(name: str, record: Struct) -> str:
    set_fields = ((field, getattr(record, field.name)) for field in fields(record))
    lines = [f"{field.name} = {toml_literal(value)}" for field, value in set_fields if value != field.default]
    return "\n".join([f"[[{name}]]", *lines, ""])
