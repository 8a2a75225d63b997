"""``taskd webhooks``: tell others of what has happened."""

import click

from taskd.cli import output, views, webhook_views
from taskd.cli.client import ApiClient, Json, rows, segment
from taskd.cli.exit_codes import help_lines
from taskd.cli.filters import task_query
from taskd.cli.options import client_options, duration, json_option
from taskd.model.limits import PAGE_LIMIT_DEFAULT

_PATH = "/taskd/v1/webhooks"
_NO_DELIVERIES = "No deliveries. `taskd webhooks test` makes one."


@click.group(epilog=help_lines())
def webhooks() -> None:
    """Tell others of what has happened."""


@webhooks.command(epilog=help_lines())
@click.argument("url_to_call", metavar="URL")
@click.option("--event", "events", multiple=True, required=True, help="Such as task.failed. Repeatable.")
@click.option("--rql", help="Only of tasks that satisfy this, such as eq(functionName,greet).")
@click.option("--description", help="For people.")
@click.option("--data", "with_data", is_flag=True, help="Bodies have the tasks' data, where it fits into 20 kB.")
@click.option("--secret", "secrets", multiple=True, help="Your own instead of a new one; at most two.")
@click.option("--disabled", is_flag=True, help="It is told of nothing before it is enabled.")
@json_option
@client_options
def add(
    client: ApiClient,
    *,
    url_to_call: str,
    events: tuple[str, ...],
    rql: str | None,
    description: str | None,
    with_data: bool,
    secrets: tuple[str, ...],
    disabled: bool,
    as_json: bool,
) -> None:
    """Have URL told of each --event. What bodies are signed with is shown, and never again."""
    given = {"rql": rql, "description": description, "include": ["data"] if with_data else None}
    given["secrets"] = list(secrets) or None
    body: Json = {"url": url_to_call, "events": list(events), "enabled": not disabled}
    _print_secrets(client.post(_PATH, body | {name: value for name, value in given.items() if value}), as_json)


@webhooks.command("list")
@click.option("--filter", "rql", metavar="RQL", help="Such as enabled=false.")
@click.option("--limit", type=click.IntRange(min=1), default=PAGE_LIMIT_DEFAULT, show_default=True)
@json_option
@client_options
def list_(client: ApiClient, *, rql: str | None, limit: int, as_json: bool) -> None:
    """List webhooks, newest first."""
    found = list(rows(client, _PATH, task_query(rql, None, None), limit))
    empty = "No webhooks. `taskd webhooks add` makes one."
    output.print_listing(found, webhook_views.table, empty, as_json=as_json)


@webhooks.command(epilog=help_lines())
@click.argument("webhook_id")
@json_option
@client_options
def show(client: ApiClient, *, webhook_id: str, as_json: bool) -> None:
    """Show everything about a webhook but its secrets."""
    output.print_record(client.get(_path(webhook_id)), views.details, as_json=as_json)


@webhooks.command(epilog=help_lines())
@click.argument("webhook_id")
@client_options
def enable(client: ApiClient, *, webhook_id: str) -> None:
    """Have a webhook told again, in your name, also of what has waited."""
    client.put(_path(webhook_id), {"enabled": True})
    click.echo(f"Enabled {webhook_id}.")


@webhooks.command(epilog=help_lines())
@click.argument("webhook_id")
@client_options
def disable(client: ApiClient, *, webhook_id: str) -> None:
    """Have a webhook told of nothing until it is enabled. What waits for it is kept."""
    client.put(_path(webhook_id), {"enabled": False})
    click.echo(f"Disabled {webhook_id}.")


@webhooks.command(epilog=help_lines())
@click.argument("webhook_id")
@client_options
def remove(client: ApiClient, *, webhook_id: str) -> None:
    """Remove a webhook, and what waits for it."""
    client.delete(_path(webhook_id))
    click.echo(f"Removed {webhook_id}.")


@webhooks.command(epilog=help_lines())
@click.argument("webhook_id")
@click.option("--secret", help="Your own instead of a new one.")
@click.option(
    "--overlap", callback=duration, metavar="TIME", help="Signs with the old one so long, too.  [default: 1d]"
)
@json_option
@client_options
def rotate(client: ApiClient, *, webhook_id: str, secret: str | None, overlap: int | None, as_json: bool) -> None:
    """Give a webhook a new secret. It is shown, and never again."""
    given = {"secret": secret, "overlapSeconds": None if overlap is None else overlap // 1000}
    _print_secrets(client.post(f"{_path(webhook_id)}/rotate", given), as_json)


@webhooks.command(epilog=help_lines())
@click.argument("webhook_id")
@json_option
@client_options
def test(client: ApiClient, *, webhook_id: str, as_json: bool) -> None:
    """Deliver an event that says nothing, to see whether it arrives."""
    _print_delivery(client.post(f"{_path(webhook_id)}/test"), as_json)


@webhooks.command(epilog=help_lines())
@click.argument("webhook_id")
@click.option("--filter", "rql", metavar="RQL", help="Such as status=failed, or subjectId=TASK_ID.")
@click.option("--limit", type=click.IntRange(min=1), default=PAGE_LIMIT_DEFAULT, show_default=True)
@json_option
@client_options
def deliveries(client: ApiClient, *, webhook_id: str, rql: str | None, limit: int, as_json: bool) -> None:
    """List what a webhook was told and is to be told, newest first."""
    found = list(rows(client, f"{_path(webhook_id)}/deliveries", task_query(rql, None, None), limit))
    output.print_listing(found, webhook_views.delivery_table, _NO_DELIVERIES, as_json=as_json)


@webhooks.command(epilog=help_lines())
@click.argument("webhook_id")
@click.argument("delivery_id")
@json_option
@client_options
def redeliver(client: ApiClient, *, webhook_id: str, delivery_id: str, as_json: bool) -> None:
    """Deliver again, now, whatever became of it before."""
    _print_delivery(client.post(f"{_path(webhook_id)}/deliveries/{segment(delivery_id)}/redeliver"), as_json)


def _path(webhook_id: str) -> str:
    return f"{_PATH}/{segment(webhook_id)}"


def _print_secrets(webhook: Json, as_json: bool) -> None:  # noqa: FBT001 - as click gives it
    if as_json:
        output.print_json(webhook)
        return
    for line in webhook_views.secret_lines(webhook):
        output.stdout().print(line)


def _print_delivery(delivery: Json, as_json: bool) -> None:  # noqa: FBT001 - as click gives it
    if as_json:
        output.print_json(delivery)
    else:
        output.stdout().print(webhook_views.delivery_line(delivery))
