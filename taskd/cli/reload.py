"""``taskd reload``: has a running daemon read its credentials anew, and fails with the reason if it could not."""

from pathlib import Path

import click

from taskd.cli.exit_codes import CommandError, help_lines
from taskd.config import Overrides, load_config
from taskd.system.reload_socket import ReloadError, request_reload


@click.command(epilog=help_lines())
@click.option("--config", "path", type=click.Path(path_type=Path), help="The daemon's TOML file.")
@click.option("--data", help="The daemon's data directory.  [default: ./taskd-data]")
def reload(*, path: Path | None, data: str | None) -> None:
    """Have a running daemon read its accounts and credentials anew.

    Returns when they are in force. If they cannot be used those before stay in force, and this fails with the reason.
    A change of the configuration takes a restart.
    """
    try:
        request_reload(Path(load_config(path, Overrides(data=data)).store.data))
    except ReloadError as error:
        raise CommandError(str(error)) from error
