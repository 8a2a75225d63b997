"""``taskd operations``: what is being done to many tasks at once, and what was."""

import click

from taskd.cli import operation_views, output, views
from taskd.cli.client import ApiClient, rows, segment
from taskd.cli.exit_codes import help_lines
from taskd.cli.filters import task_query
from taskd.cli.operation_options import OPERATIONS
from taskd.cli.options import client_options, json_option
from taskd.model.limits import PAGE_LIMIT_DEFAULT


@click.group(epilog=help_lines())
def operations() -> None:
    """See what is being done to many tasks at once, and end it."""


@operations.command("list")
@click.option("--filter", "rql", metavar="RQL", help="Such as status=running&action=replay.")
@click.option("--limit", type=click.IntRange(min=1), default=PAGE_LIMIT_DEFAULT, show_default=True)
@json_option
@client_options
def list_(client: ApiClient, *, rql: str | None, limit: int, as_json: bool) -> None:
    """List operations, newest first."""
    found = list(rows(client, OPERATIONS, task_query(rql, None, None), limit))
    output.print_listing(found, operation_views.table, "No operations.", as_json=as_json)


@operations.command(epilog=help_lines())
@click.argument("operation_id")
@json_option
@client_options
def show(client: ApiClient, *, operation_id: str, as_json: bool) -> None:
    """Show everything about an operation, and how far it is."""
    operation = client.get(f"{OPERATIONS}/{segment(operation_id)}")
    output.print_record(operation, views.details, as_json=as_json)


@operations.command(epilog=help_lines())
@click.argument("operation_id")
@client_options
def abort(client: ApiClient, *, operation_id: str) -> None:
    """End an operation; what was done stays."""
    aborted = client.post(f"{OPERATIONS}/{segment(operation_id)}/abort")
    output.stdout().print(operation_views.ended_line(aborted))
