"""``taskd auth app``: the programs that users log in with, or that call for themselves."""

import json
from typing import get_args

import click

from taskd.audit.entry import Action
from taskd.audit.operators import by_operator
from taskd.auth import account_changes
from taskd.auth.accounts import Accounts, Kind
from taskd.auth.logins import oauth1_token
from taskd.auth.signing_key import load_key
from taskd.cli import output
from taskd.cli.auth_files import AccountFiles, account_files, granted
from taskd.cli.exit_codes import CommandError
from taskd.cli.options import json_option
from taskd.model.objectid import ObjectIdFactory


@click.group()
def app() -> None:
    """Applications: OAuth 1 consumers and OAuth 2 clients."""


@app.command("add")
@click.argument("name")
@click.option("--kind", type=click.Choice(get_args(Kind)), required=True)
@click.option("--public", is_flag=True, help="OAuth 2 without a secret: for programs that cannot keep one.")
@json_option
@account_files
def add_app(files: AccountFiles, *, name: str, kind: Kind, public: bool, as_json: bool) -> None:
    """Add an application, and show its key and secret this once."""
    if public and kind == "oauth1":
        raise click.UsageError("OAuth 1 needs a secret, so --public is for --kind oauth2 alone")
    shown: dict[str, str] = {}

    def edit(accounts: Accounts) -> Accounts:
        changed, application, secret = account_changes.add_application(accounts, name, kind, public=public)
        names = ("consumer_key", "consumer_secret") if kind == "oauth1" else ("client_id", "client_secret")
        shown.update({"id": application.id, names[0]: application.key}, **({names[1]: secret} if secret else {}))
        return changed

    detail = {"kind": kind, "public": "true" if public else ""}
    files.change(edit, by_operator(Action.APPLICATIONS_ADD, "application", name, **detail))
    _show(shown, as_json=as_json)


@app.command("list")
@account_files
def list_apps(files: AccountFiles) -> None:
    """Show the applications, without their secrets."""
    rows = (
        (one.name, one.id, one.kind, one.key, granted(one.roles, one.permissions)) for one in files.read().applications
    )
    output.print_table(("NAME", "ID", "KIND", "KEY", "GRANTED~"), rows)


@app.command("remove")
@click.argument("name")
@account_files
def remove_app(files: AccountFiles, *, name: str) -> None:
    """Remove an application, the logins through it and its API tokens."""
    entry = by_operator(Action.APPLICATIONS_REMOVE, "application", name)
    files.change(lambda accounts: account_changes.remove_application(accounts, name), entry)


@app.command()
@click.argument("name")
@click.option("--user", "email", required=True, help="The email of the user to call as.")
@click.option(
    "--host", required=True, help="Where the function reaches taskd: http://localhost:8080, or https://api.example.com."
)
@json_option
@account_files
def environment(files: AccountFiles, *, name: str, email: str, host: str, as_json: bool) -> None:
    """Show the environment variables with which a function calls back.

    They log in as a user through an OAuth 1 application, with a token that lasts until the user's logins are ended.
    With --json it is what a function's environmentVariables take. The JavaScript SDK uses a host that contains
    "localhost" as it stands, and makes https://api.<host> of every other, so on this machine say localhost.
    """
    accounts = files.read()
    application, user = account_changes.find_application(accounts, name), account_changes.find_user(accounts, email)
    if application.kind != "oauth1":
        raise CommandError(f"{name} is not an OAuth 1 application; `taskd auth app add NAME --kind oauth1` makes one")
    with files.recording(by_operator(Action.LOGINS_CREATE, "user", email, application=name, grant="oauth1")):
        token = oauth1_token(load_key(files.key_directory), ObjectIdFactory()(), user, application)
    variables = {
        "API_HOST": host,
        "API_OAUTH_CONSUMER_KEY": application.key,
        "API_OAUTH_CONSUMER_SECRET": application.secret,
        "API_OAUTH_TOKEN": token.token,
        "API_OAUTH_TOKEN_SECRET": token.secret,
    }
    if "localhost" not in host and not host.startswith("https://api."):
        click.echo(_host_note(host), err=True)
    if as_json:
        output.print_json({key: {"value": value} for key, value in variables.items()})
    else:
        _show(variables, as_json=False)


def _host_note(host: str) -> str:
    bare = host.removeprefix("https://").removeprefix("http://")
    instead = "http://localhost and the port" if bare.startswith("127.") else "a name that begins with api."
    return f"Note: the JavaScript SDK calls https://api.{bare} for this host. If the function uses it, say {instead}."


def _show(values: dict[str, str], *, as_json: bool) -> None:
    """On standard output, by themselves: they are there to be copied or piped on."""
    click.echo(
        json.dumps(values, indent=2) if as_json else "\n".join(f"{key}={value}" for key, value in values.items())
    )
