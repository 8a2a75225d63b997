"""``taskd pause``: have nothing started, as for a night of maintenance."""

import click

from taskd.cli.client import ApiClient
from taskd.cli.exit_codes import help_lines
from taskd.cli.options import client_options


@click.command(epilog=help_lines())
@click.option("--reason", help="For people: shown by `/health`, and to whoever is refused meanwhile.")
@client_options
def pause(client: ApiClient, *, reason: str | None) -> None:
    """Have nothing started until `taskd resume`.

    What runs goes on to its end. Tasks can be created, and schedules make theirs; all of them wait, over restarts, too.
    Direct executions and calls of API functions are refused meanwhile.
    """
    client.post("/taskd/v1/pause", {"reason": reason})
    click.echo("Paused everything. `taskd resume` has it go on.")
