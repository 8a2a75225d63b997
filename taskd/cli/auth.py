"""``taskd auth``: who may call the daemon, and what they may do. Works on the files, the daemon may run or not."""

import click

from taskd.audit.entry import Action
from taskd.audit.operators import by_operator
from taskd.auth import account_changes
from taskd.auth.signing_key import rotate_key
from taskd.cli import output
from taskd.cli.auth_apps import app
from taskd.cli.auth_files import AccountFiles, account_files, ask_password, granted
from taskd.cli.auth_tokens import token
from taskd.cli.exit_codes import help_lines

_SUBJECT_HELP = """SUBJECT is a user's email, an application's name, or role:NAME.

    PERMISSIONS are such as VIEW_TASKS, EXECUTE_TASK_FUNCTION:reports for one function, ALL, or role:NAME.
    """


@click.group(epilog=help_lines())
def auth() -> None:
    """Say who may call, and what they may do.

    The accounts are in auth.toml in the data directory. A running daemon takes changes in with `taskd reload`.
    """


@auth.group()
def user() -> None:
    """Users: those who log in with a password."""


@user.command("add")
@click.argument("email")
@click.option("--first-name", default="", help="As `whoami` commands show it.")
@click.option("--last-name", default="")
@account_files
def add_user(files: AccountFiles, *, email: str, first_name: str, last_name: str) -> None:
    """Add a user, who may do nothing until something is granted.

    The password is asked for, or read from the first line of standard input.
    """
    password = ask_password()
    entry = by_operator(Action.USERS_ADD, "user", email)
    files.change(lambda accounts: account_changes.add_user(accounts, email, password, first_name, last_name), entry)


@user.command("list")
@account_files
def list_users(files: AccountFiles) -> None:
    """Show the users."""
    rows = (
        (one.email, one.id, f"{one.first_name} {one.last_name}".strip(), granted(one.roles, one.permissions))
        for one in files.read().users
    )
    output.print_table(("EMAIL", "ID", "NAME", "GRANTED~"), rows)


@user.command("remove")
@click.argument("email")
@account_files
def remove_user(files: AccountFiles, *, email: str) -> None:
    """Remove a user, their logins and their API tokens."""
    entry = by_operator(Action.USERS_REMOVE, "user", email)
    files.change(lambda accounts: account_changes.remove_user(accounts, email), entry)


@user.command()
@click.argument("email")
@account_files
def passwd(files: AccountFiles, *, email: str) -> None:
    """Set another password, and end every login of the user.

    The password is asked for, or read from the first line of standard input.
    """
    account_changes.find_user(files.read(), email)
    password = ask_password()
    entry = by_operator(Action.USERS_SET_PASSWORD, "user", email)
    files.change(lambda accounts: account_changes.set_password(accounts, email, password), entry)


@user.command("log-out")
@click.argument("email")
@account_files
def log_out(files: AccountFiles, *, email: str) -> None:
    """End every login of a user; API tokens are revoked by themselves."""
    entry = by_operator(Action.LOGINS_END, "user", email)
    files.change(lambda accounts: account_changes.end_logins(accounts, email), entry)


@auth.command(help=f"Grant permissions and roles; a new role is made.\n\n    {_SUBJECT_HELP}")
@click.argument("subject")
@click.argument("permissions", nargs=-1, required=True)
@account_files
def grant(files: AccountFiles, *, subject: str, permissions: tuple[str, ...]) -> None:
    """Grant ``permissions`` to ``subject``."""
    entry = by_operator(Action.PERMISSIONS_GRANT, "account", subject, permissions=" ".join(permissions))
    files.change(lambda accounts: account_changes.grant(accounts, subject, permissions), entry)


@auth.command(help=f"Take permissions and roles back.\n\n    {_SUBJECT_HELP}")
@click.argument("subject")
@click.argument("permissions", nargs=-1, required=True)
@account_files
def revoke(files: AccountFiles, *, subject: str, permissions: tuple[str, ...]) -> None:
    """Revoke ``permissions`` of ``subject``."""
    entry = by_operator(Action.PERMISSIONS_REVOKE, "account", subject, permissions=" ".join(permissions))
    files.change(lambda accounts: account_changes.revoke(accounts, subject, permissions), entry)


@auth.command("rotate-key")
@account_files
def rotate(files: AccountFiles) -> None:
    """Take a new signing key: every login of everybody ends, API tokens stay."""
    with files.recording(by_operator(Action.KEY_ROTATE, "key")):
        rotate_key(files.key_directory)
    click.echo("There is a new key. `taskd reload` (systemctl reload taskd) puts it in force.", err=True)


auth.add_command(app)
auth.add_command(token)
