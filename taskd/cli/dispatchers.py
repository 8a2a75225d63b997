"""``taskd dispatchers``: what is to be done when there is an event."""

import click
from rich.table import Table

from taskd.cli import output
from taskd.cli.client import ApiClient, Json, rows, segment
from taskd.cli.exit_codes import CommandError, ExitCode, help_lines
from taskd.cli.filters import encode_value, newest_first
from taskd.cli.options import client_options, json_option
from taskd.cli.output import safe
from taskd.model.limits import PAGE_LIMIT_DEFAULT

_DISPATCHERS = "/dispatchers/v1/"


@click.group(epilog=help_lines())
def dispatchers() -> None:
    """See what is to be done when there is an event.

    Dispatchers are made over HTTP, or by `exh dispatchers sync` from a file.
    """


@dispatchers.command("list", epilog=help_lines())
@click.option("--type", "event_type", help="Only those for events of this type.")
@click.option("--filter", "rql", metavar="RQL", help="Such as actions.functionName=greet.")
@click.option("--limit", type=click.IntRange(min=1), default=PAGE_LIMIT_DEFAULT, show_default=True)
@json_option
@client_options
def list_(client: ApiClient, *, event_type: str | None, rql: str | None, limit: int, as_json: bool) -> None:
    """List dispatchers, newest first."""
    condition = f"eq(eventType,{encode_value(event_type)})" if event_type else ""
    found = list(rows(client, _DISPATCHERS, newest_first(rql, "creationTimestamp", condition), limit))
    output.print_listing(found, _table, "No dispatchers.", as_json=as_json)


@dispatchers.command(epilog=help_lines())
@click.argument("dispatcher_id")
@client_options
def show(client: ApiClient, *, dispatcher_id: str) -> None:
    """Show everything about a dispatcher, as JSON."""
    found = client.get(_DISPATCHERS, f"eq(id,{encode_value(dispatcher_id)})")["data"]
    if not found:
        raise CommandError(f"there is no dispatcher with the id {dispatcher_id}", ExitCode.NOT_FOUND)
    output.print_json(found[0])


@dispatchers.command(epilog=help_lines())
@click.argument("dispatcher_id")
@client_options
def delete(client: ApiClient, *, dispatcher_id: str) -> None:
    """Delete a dispatcher; the tasks that it made stay."""
    client.delete(_DISPATCHERS + segment(dispatcher_id))
    click.echo(f"Deleted {safe(dispatcher_id)}.")


def _table(found: list[Json], now_ms: int) -> Table:
    listing = output.listing("ID", "NAME~", "EVENT~", "ACTIONS~", "TAGS~")
    for dispatcher in found:
        actions = ", ".join(action.get("functionName", action["type"]) for action in dispatcher["actions"])
        about = (dispatcher.get("name", "-"), dispatcher["eventType"], actions, ", ".join(dispatcher.get("tags", [])))
        listing.add_row(safe(dispatcher["id"]), *map(safe, about))
    return listing
