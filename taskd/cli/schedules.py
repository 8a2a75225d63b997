"""``taskd schedules``: have tasks made again and again."""

import click
import msgspec

from taskd.cli import output, views
from taskd.cli.client import ApiClient, rows, segment
from taskd.cli.exit_codes import help_lines
from taskd.cli.filters import task_query
from taskd.cli.options import client_options, duration, json_object, json_option, moment
from taskd.model.clock import system_clock_ms
from taskd.model.limits import PAGE_LIMIT_DEFAULT
from taskd.model.timestamps import format_ms


@click.group(epilog=help_lines())
def schedules() -> None:
    """Have tasks made again and again."""


@schedules.command(epilog=help_lines())
@click.argument("function")
@click.option("--every", callback=duration, required=True, metavar="DURATION", help="Such as 30s, 5m, 1h30m or 1d.")
@click.option("--data", callback=json_object, metavar="JSON", help="A JSON object, @file, or - for stdin.")
@click.option("--start", callback=moment, metavar="WHEN", help="The first time: +5m, or 2026-01-31T12:00:00Z.")
@click.option("--priority", type=int, help="The highest goes first; the function's default where not given.")
@json_option
@client_options
def create(
    client: ApiClient,
    *,
    function: str,
    every: int,
    data: msgspec.Raw | None,
    start: int | None,
    priority: int | None,
    as_json: bool,
) -> None:
    """Have a task of FUNCTION made --every so often, from now or from --start on."""
    start_text = None if start is None else format_ms(start)
    draft = {"data": data, "startTimestamp": start_text, "priority": priority}
    given = {field: value for field, value in draft.items() if value is not None}
    schedule = client.post("/schedules", {"functionName": function, "interval": every / 1000, **given})
    if as_json:
        output.print_json(schedule)
    else:
        output.stdout().print(views.scheduled_line(schedule, system_clock_ms()))


@schedules.command("list")
@click.option("--filter", "rql", metavar="RQL", help="Such as gt(interval,60)&sort(nextTimestamp).")
@click.option("--function", help="Only schedules of this function.")
@click.option("--limit", type=click.IntRange(min=1), default=PAGE_LIMIT_DEFAULT, show_default=True)
@json_option
@client_options
def list_(client: ApiClient, *, rql: str | None, function: str | None, limit: int, as_json: bool) -> None:
    """List schedules, newest first."""
    found = list(rows(client, "/schedules", task_query(rql, None, function), limit))
    empty = "No schedules. `taskd schedules create` makes one."
    output.print_listing(found, views.schedule_table, empty, as_json=as_json)


@schedules.command(epilog=help_lines())
@click.argument("schedule_id")
@json_option
@client_options
def show(client: ApiClient, *, schedule_id: str, as_json: bool) -> None:
    """Show everything about a schedule."""
    output.print_record(client.get(f"/schedules/{segment(schedule_id)}"), views.details, as_json=as_json)


@schedules.command(epilog=help_lines())
@click.argument("schedule_id")
@click.option("--reason", help="Kept with the schedule, for people.")
@client_options
def pause(client: ApiClient, *, schedule_id: str, reason: str | None) -> None:
    """Have a schedule make no more tasks until it is resumed."""
    client.post(f"/schedules/{segment(schedule_id)}/pause", {"reason": reason})
    click.echo(f"Paused {schedule_id}.")


@schedules.command(epilog=help_lines())
@click.argument("schedule_id")
@client_options
def resume(client: ApiClient, *, schedule_id: str) -> None:
    """Have a paused schedule go on at its next time."""
    schedule = client.post(f"/schedules/{segment(schedule_id)}/resume")
    output.stdout().print(views.resumed_line(schedule, system_clock_ms()))


@schedules.command()
@click.argument("schedule_id")
@client_options
def delete(client: ApiClient, *, schedule_id: str) -> None:
    """Delete a schedule; the tasks that it made stay."""
    client.delete(f"/schedules/{segment(schedule_id)}")
    click.echo(f"Deleted {schedule_id}.")
