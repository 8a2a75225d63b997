"""``taskd schedules``: have tasks made again and again."""

import click

from taskd.cli import output, schedule_views, views
from taskd.cli.client import ApiClient, Json, rows, segment
from taskd.cli.exit_codes import help_lines
from taskd.cli.filters import task_query
from taskd.cli.options import client_options, json_option, moment
from taskd.cli.schedule_options import CLEARED, require_times, schedule_options
from taskd.model.clock import system_clock_ms
from taskd.model.limits import PAGE_LIMIT_DEFAULT
from taskd.model.timestamps import format_ms


@click.group(epilog=help_lines())
def schedules() -> None:
    """Have tasks made again and again."""


@schedules.command(epilog=help_lines())
@click.argument("function")
@schedule_options
@click.option("--paused", is_flag=True, help="Makes no tasks before it is resumed.")
@json_option
@client_options
def create(client: ApiClient, *, function: str, given: Json, paused: bool, as_json: bool) -> None:
    """Have a task of FUNCTION made --every so often, or when --cron says, from now or from --start on."""
    require_times(given)
    schedule = client.post("/schedules", {"functionName": function, **given, **({"paused": True} if paused else {})})
    if as_json:
        output.print_json(schedule)
    else:
        output.stdout().print(schedule_views.created_line(schedule, system_clock_ms()))


@schedules.command(epilog=help_lines())
@click.argument("schedule_id")
@click.option("--function", help="The function that its tasks run from now on.")
@schedule_options
@click.option("--clear", multiple=True, type=click.Choice(sorted(CLEARED)), help="Takes away what was set. Repeatable.")
@json_option
@client_options
def update(
    client: ApiClient,
    *,
    schedule_id: str,
    function: str | None,
    given: Json,
    clear: tuple[str, ...],
    as_json: bool,
) -> None:
    """Change a schedule; what is not given stays as it is."""
    changes = given | {CLEARED[name]: None for name in clear}
    if function is not None:
        changes["functionName"] = function
    schedule = client.put(f"/schedules/{segment(schedule_id)}", changes)
    if as_json:
        output.print_json(schedule)
    else:
        output.stdout().print(schedule_views.changed_line("Changed", schedule, system_clock_ms()))


@schedules.command("next", epilog=help_lines())
@click.argument("schedule_id", required=False)
@schedule_options
@click.option("--count", type=click.IntRange(1, 100), default=10, show_default=True)
@json_option
@client_options
def next_(client: ApiClient, *, schedule_id: str | None, given: Json, count: int, as_json: bool) -> None:
    """Show when tasks of a schedule are due: of SCHEDULE_ID, or of one that --cron or --every would make."""
    if schedule_id is None:
        require_times(given)
        times = client.post(f"/schedules/next?count={count}", {"functionName": "none", **given})["data"]
        zone = given.get("timeZone")
    else:
        times = client.get(f"/schedules/{segment(schedule_id)}/next", f"count={count}")["data"]
        zone = client.get(f"/schedules/{segment(schedule_id)}").get("timeZone")
    if as_json:
        output.print_json(times)
        return
    for line in schedule_views.time_lines(times, zone, system_clock_ms()):
        output.stdout().print(line)


@schedules.command(epilog=help_lines())
@click.argument("schedule_id")
@click.option("--key", help="An Idempotency-Key: sent again with it, the same task comes back.")
@json_option
@client_options
def trigger(client: ApiClient, *, schedule_id: str, key: str | None, as_json: bool) -> None:
    """Make a task of a schedule now, besides those that it makes by itself."""
    task = client.post(f"/schedules/{segment(schedule_id)}/trigger", key=key)
    if as_json:
        output.print_json(task)
    else:
        output.stdout().print(views.created_line(task, system_clock_ms()))


@schedules.command(epilog=help_lines())
@click.argument("schedule_id")
@click.option("--from", "begin", callback=moment, required=True, metavar="WHEN", help="Such as 2026-01-31T00:00:00Z.")
@click.option("--to", "end", callback=moment, required=True, metavar="WHEN", help="At the latest now.")
@click.option("--key", help="An Idempotency-Key: sent again with it, nothing is made again.")
@client_options
def backfill(client: ApiClient, *, schedule_id: str, begin: int, end: int, key: str | None) -> None:
    """Make a task for each time of a schedule that has passed between --from and --to, both included."""
    span = {"from": format_ms(begin), "to": format_ms(end)}
    made = client.post(f"/schedules/{segment(schedule_id)}/backfill", span, key=key)["affectedRecords"]
    click.echo(f"Made {made:,} tasks.")


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
    output.print_listing(found, schedule_views.table, empty, as_json=as_json)


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
    output.stdout().print(schedule_views.changed_line("Resumed", schedule, system_clock_ms()))


@schedules.command()
@click.argument("schedule_id")
@client_options
def delete(client: ApiClient, *, schedule_id: str) -> None:
    """Delete a schedule; the tasks that it made stay."""
    client.delete(f"/schedules/{segment(schedule_id)}")
    click.echo(f"Deleted {schedule_id}.")
