"""``taskd auth token``: API tokens, for programs that send one header and know nothing of logging in."""

from datetime import timedelta

import click

from taskd.audit.entry import Action
from taskd.audit.operators import by_operator
from taskd.auth import account_changes
from taskd.auth.accounts import Accounts, ApiToken
from taskd.cli import output
from taskd.cli.auth_files import AccountFiles, account_files
from taskd.model.clock import system_clock_ms
from taskd.model.timestamps import format_ms


@click.group()
def token() -> None:
    """API tokens: sent as `Authorization: Bearer ...`."""


@token.command("add")
@click.argument("name")
@click.option("--for", "owner", required=True, help="The user's email, or the application's name, to act for.")
@click.option("--only", multiple=True, metavar="PERMISSION", help="Allow no more than this; may be repeated.")
@click.option("--days", type=click.IntRange(1, 3660), help="How long it lasts.  [default: until it is revoked]")
@account_files
def add_token(files: AccountFiles, *, name: str, owner: str, only: tuple[str, ...], days: int | None) -> None:
    """Add an API token, and show it this once. It may do what its owner may."""
    expiry_ms = 0 if days is None else system_clock_ms() + timedelta(days=days) // timedelta(milliseconds=1)
    shown: list[str] = []

    def edit(accounts: Accounts) -> Accounts:
        changed, text = account_changes.add_token(accounts, name, owner, only, expiry_ms)
        shown.append(text)
        return changed

    detail = {"owner": owner, "only": " ".join(only), "days": "" if days is None else str(days)}
    files.change(edit, by_operator(Action.TOKENS_ADD, "token", name, **detail))
    click.echo(shown[0])


@token.command("list")
@account_files
def list_tokens(files: AccountFiles) -> None:
    """Show the API tokens, but not what they are."""
    accounts = files.read()
    owners = {user.id: user.email for user in accounts.users} | {app.id: app.name for app in accounts.applications}
    rows = [(one.name, one.id, owners[one.owner], _expiry(one), " ".join(one.permissions)) for one in accounts.tokens]
    output.print_table(("NAME", "ID", "FOR", "EXPIRES", "ONLY~"), rows)


def _expiry(api_token: ApiToken) -> str:
    return format_ms(api_token.expiry_ms) if api_token.expiry_ms else "never"


@token.command("revoke")
@click.argument("name")
@account_files
def revoke_token(files: AccountFiles, *, name: str) -> None:
    """Revoke an API token."""
    entry = by_operator(Action.TOKENS_REVOKE, "token", name)
    files.change(lambda accounts: account_changes.revoke_token(accounts, name), entry)
