"""``taskd token``: where the token of the account ``local`` is, for curl and for scripts."""

from pathlib import Path

import click

from taskd.auth.header_files import HEADER_FILE, header_file, read_token
from taskd.auth.secret_files import SecretFileError
from taskd.cli.exit_codes import CommandError, ExitCode, help_lines
from taskd.cli.options import url_option


@click.command(epilog=help_lines())
@url_option
@click.option("--data", type=click.Path(path_type=Path), help="The daemon's data directory, instead of its URL.")
@click.option("--show", is_flag=True, help="Print the token itself.")
def token(*, url: str, data: Path | None, show: bool) -> None:
    """Say where the local account's token is: a file for `curl -H @FILE`.

    A daemon that listens on this machine alone makes the account when it first starts. Other commands of the user that
    it runs as find the token by themselves. The system service's is in its data directory, where root can read it.
    """
    path = data / HEADER_FILE if data is not None else _header_file(url)
    if path is None or (found := _token(path)) is None:
        where = path or f"what a daemon at {url} leaves for commands"
        elsewhere = "" if data is not None else " `--data DIRECTORY` looks in the daemon's data directory."
        message = f"There is no token of a local account in {where}; see `taskd auth`.{elsewhere}"
        raise CommandError(message, ExitCode.NOT_FOUND)
    click.echo(found if show else path)


def _header_file(url: str) -> Path | None:
    try:
        return header_file(url)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--url") from error


def _token(path: Path) -> str | None:
    try:
        return read_token(path)
    except SecretFileError as error:
        raise CommandError(str(error)) from error
