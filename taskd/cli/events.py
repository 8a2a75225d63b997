"""``taskd events``: tell of what has happened, and see what has."""

import json

import click
import msgspec
from rich.table import Table

from taskd.cli import output, views
from taskd.cli.client import ApiClient, Json, rows
from taskd.cli.exit_codes import help_lines
from taskd.cli.filters import encode_value, newest_first
from taskd.cli.options import client_options, json_object, json_option
from taskd.cli.output import safe
from taskd.model.limits import PAGE_LIMIT_DEFAULT
from taskd.model.timestamps import format_ms

_EVENTS = "/events/v1/"


@click.group(epilog=help_lines())
def events() -> None:
    """Tell of what has happened, and see what has."""


@events.command(epilog=help_lines())
@click.argument("event_type", metavar="TYPE")
@click.option("--content", callback=json_object, metavar="JSON", help="A JSON object, @file, or - for stdin.")
@click.option("--id", "event_id", help="An id of your own: sent again within 24 hours, nothing is made twice.")
@json_option
@client_options
def publish(
    client: ApiClient, *, event_type: str, content: msgspec.Raw | None, event_id: str | None, as_json: bool
) -> None:
    """Tell of an event of TYPE, and have dispatchers make their tasks of it."""
    given = {"type": event_type, "content": content, "id": event_id}
    event = client.post(_EVENTS, {name: value for name, value in given.items() if value is not None})
    if as_json:
        output.print_json(event)
    else:
        click.echo(f"Published event {safe(event['id'])}.")


@events.command("list", epilog=help_lines())
@click.option("--type", "event_type", help="Only events of this type.")
@click.option("--filter", "rql", metavar="RQL", help="Such as content.user_id=5f1a.")
@click.option("--limit", type=click.IntRange(min=1), default=PAGE_LIMIT_DEFAULT, show_default=True)
@json_option
@client_options
def list_(client: ApiClient, *, event_type: str | None, rql: str | None, limit: int, as_json: bool) -> None:
    """List events, newest first."""
    condition = f"eq(type,{encode_value(event_type)})" if event_type else ""
    query = newest_first(rql, "creation_timestamp", condition)
    found = list(rows(client, _EVENTS, query, limit))
    output.print_listing(found, _table, "No events.", as_json=as_json)


def _table(found: list[Json], now_ms: int) -> Table:
    listing = output.listing("ID", "TYPE~", "WHEN", "CONTENT~")
    for event in found:
        when = views.relative(format_ms(event["creation_timestamp"]), now_ms)
        content = json.dumps(event["content"], ensure_ascii=False) if "content" in event else "-"
        listing.add_row(safe(event["id"]), safe(event["type"]), when, safe(content))
    return listing
