"""Which accounts ``taskd auth`` edits, and what is asked at the terminal while it does."""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

import click

from taskd.audit.entry import Entry
from taskd.audit.trail import AuditError, AuditTrail
from taskd.auth.account_file import AccountFileError, editing, read_accounts
from taskd.auth.account_source import accounts_path
from taskd.auth.accounts import AccountError, Accounts
from taskd.auth.secret_files import SecretFileError
from taskd.cli.exit_codes import CommandError
from taskd.config import Overrides, load_config

P = ParamSpec("P")
R = TypeVar("R")


class AccountFiles(NamedTuple):
    """Where the accounts and the signing key of one daemon are."""

    accounts: Path
    data: Path
    trail: AuditTrail
    may_be_made: bool
    """Whether the directories were named on the command line; one that is not there is made then."""

    @property
    def key_directory(self) -> Path:
        """The data directory, where the signing key is."""
        self.require(self.data)
        return self.data

    def require(self, directory: Path) -> None:
        """Refuses to make files of a daemon that is not there."""
        if not (self.may_be_made or directory.is_dir()):
            raise CommandError(
                f"There is no directory {directory.absolute()}. Say which one the daemon keeps its data in: with "
                "--data DIRECTORY, or with --config FILE where that sets data under [store]. "
                "The systemd service's is /var/lib/taskd; `taskd serve` makes its own when it starts."
            )

    def read(self) -> Accounts:
        """The accounts as they are."""
        return read_accounts(self.accounts)

    def recording(self, entry: Entry) -> AbstractContextManager[Entry]:
        """Meanwhile what ``entry`` tells of is done; a data directory that no daemon has made yet has no trail."""
        if not (self.may_be_made or self.data.is_dir()):
            return nullcontext(entry)
        return self.trail.recording(entry)

    def change(self, edit: Callable[[Accounts], Accounts], entry: Entry) -> None:
        """Writes what ``edit`` makes of the accounts, as ``entry`` has it, and says how it comes into force."""
        with self.recording(entry), editing(self.accounts) as under_lock:
            under_lock.accounts = edit(under_lock.accounts)
        click.echo(f"Written to {self.accounts}. `taskd reload` (systemctl reload taskd) puts it in force.", err=True)


def account_files(command: Callable[Concatenate[AccountFiles, P], R]) -> Callable[P, R]:
    """Adds ``--config`` and ``--data``, passes the command the files they mean, and translates their errors."""

    @click.option("--config", "path", type=click.Path(path_type=Path), help="The daemon's TOML file.")
    @click.option("--data", help="The daemon's data directory.  [default: ./taskd-data]")
    @wraps(command)
    def with_files(*args: Any, path: Path | None, data: str | None, **kwargs: Any) -> R:
        config = load_config(path, Overrides(data=data))
        directory = Path(config.store.data)
        trail = AuditTrail(directory, config.audit)
        files = AccountFiles(accounts_path(config.auth, directory), directory, trail, may_be_made=data is not None)
        files.require(files.accounts.parent)
        try:
            return command(files, *args, **kwargs)
        except (AccountError, AccountFileError, AuditError, SecretFileError) as error:
            raise CommandError(str(error)) from error

    return with_files  # type: ignore[return-value]


def ask_password() -> str:
    """A password from the terminal, twice; or the first line of standard input. Never from the command line."""
    if sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    return sys.stdin.readline().rstrip("\r\n")


def granted(roles: tuple[str, ...], permissions: tuple[str, ...]) -> str:
    """What is granted, as it is typed to grant it."""
    return " ".join((*(f"role:{role}" for role in roles), *permissions))
