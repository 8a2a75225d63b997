"""``taskd resume``: the end of ``taskd pause``. A file of its own, since a command is found by its name."""

import click

from taskd.cli.client import ApiClient
from taskd.cli.exit_codes import help_lines
from taskd.cli.options import client_options


@click.command(epilog=help_lines())
@client_options
def resume(client: ApiClient) -> None:
    """Have everything go on after `taskd pause`."""
    client.post("/taskd/v1/resume")
    click.echo("Everything goes on.")
