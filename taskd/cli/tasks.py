"""``taskd tasks``: create tasks, look at them, follow them, cancel, replay and delete them."""

from collections.abc import Iterable
from typing import BinaryIO

import click
import msgspec

from taskd.cli import output, polling, views
from taskd.cli.client import ApiClient, Json, rows, segment
from taskd.cli.exit_codes import ExitCode, help_lines
from taskd.cli.filters import task_query
from taskd.cli.operation_options import Bulk, bulk_options
from taskd.cli.options import client_options, json_object, json_option, moment
from taskd.cli.unique_options import unique_options
from taskd.model.clock import system_clock_ms
from taskd.model.limits import PAGE_LIMIT_DEFAULT
from taskd.model.status import Status
from taskd.model.timestamps import format_ms


@click.group(epilog=help_lines())
def tasks() -> None:
    """Create tasks, follow them, read their logs."""


@tasks.command(epilog=help_lines())
@click.argument("function")
@click.option("--data", callback=json_object, metavar="JSON", help="A JSON object, @file, or - for stdin.")
@click.option("--start", callback=moment, metavar="WHEN", help="+5m, +1h30m, or 2026-01-31T12:00:00Z.")
@click.option("--priority", type=int, help="The highest goes first; the function's default where not given.")
@click.option("--tag", "tags", multiple=True, help="May be given more than once.")
@unique_options
@click.option("--wait", is_flag=True, help="Follow the task until it is final, as `tasks watch` does.")
@json_option
@client_options
def create(
    client: ApiClient,
    *,
    function: str,
    data: msgspec.Raw | None,
    start: int | None,
    priority: int | None,
    tags: tuple[str, ...],
    unique: Json | None,
    wait: bool,
    as_json: bool,
) -> ExitCode:
    """Create a task of FUNCTION: due now, or at --start."""
    start_text = None if start is None else format_ms(start)
    draft = {"data": data, "startTimestamp": start_text, "priority": priority, "tags": tags or None, "unique": unique}
    given = {field: value for field, value in draft.items() if value is not None}
    task = client.post("/", {"functionName": function, **given})
    if wait:
        return _watch(client, task["id"], as_json=as_json)
    if as_json:
        output.print_json(task)
    else:
        output.stdout().print(views.created_line(task, system_clock_ms()))
    return ExitCode.OK


@tasks.command(epilog=help_lines())
@click.argument("file", type=click.File("rb"))
@json_option
@client_options
def load(client: ApiClient, *, file: BinaryIO, as_json: bool) -> None:
    """Create a task for each line of FILE (- for stdin): all of them, or none if one is wrong.

    A line is a JSON object like {"functionName": "hello", "data": {"n": 1}}.
    """
    ids = client.post("/bulk", msgspec.Raw(file.read()))["ids"]
    if as_json:
        output.print_json(ids)
    else:
        click.echo(f"Created {output.counted(len(ids), 'task')}.")


@tasks.command("list")
@click.option("--filter", "rql", metavar="RQL", help="Such as gt(priority,5)&sort(-priority).")
@click.option("--status", type=click.Choice([status.value for status in Status]))
@click.option("--function", help="Only tasks of this function.")
@click.option("--limit", type=click.IntRange(min=1), default=PAGE_LIMIT_DEFAULT, show_default=True)
@json_option
@client_options
def list_(
    client: ApiClient, *, rql: str | None, status: str | None, function: str | None, limit: int, as_json: bool
) -> None:
    """List tasks, newest first."""
    found = list(rows(client, "/", task_query(rql, status, function), limit))
    output.print_listing(found, views.task_table, "No tasks.", as_json=as_json)


@tasks.command()
@click.argument("task_id")
@json_option
@client_options
def show(client: ApiClient, *, task_id: str, as_json: bool) -> None:
    """Show everything about a task."""
    output.print_record(polling.get_task(client, task_id), views.details, as_json=as_json)


@tasks.command(epilog=help_lines())
@click.argument("task_id", required=False)
@bulk_options
@json_option
@client_options
def cancel(client: ApiClient, *, task_id: str | None, bulk: Bulk, as_json: bool) -> ExitCode:
    """Cancel a task that has not started, or all of those that match --rql."""
    if task_id is None or bulk.is_given:
        return bulk.run(client, "cancel", task_id, as_json=as_json)
    client.post(f"/{segment(task_id)}/cancel")
    click.echo(f"Canceled {task_id}.")
    return ExitCode.OK


@tasks.command(epilog=help_lines())
@click.argument("task_id", required=False)
@click.option("--data", callback=json_object, metavar="JSON", help="In place of the old: an object, @file, or -.")
@click.option("--start", callback=moment, metavar="WHEN", help="+5m, +1h30m, or 2026-01-31T12:00:00Z; now otherwise.")
@click.option("--priority", type=int, help="In place of the old.")
@bulk_options
@json_option
@client_options
def replay(
    client: ApiClient,
    *,
    task_id: str | None,
    data: msgspec.Raw | None,
    start: int | None,
    priority: int | None,
    bulk: Bulk,
    as_json: bool,
) -> ExitCode:
    """Make a new task of one that has ended, or of all of those that match --rql."""
    start_text = None if start is None else format_ms(start)
    new = {"data": data, "startTimestamp": start_text, "priority": priority}
    given = {field: value for field, value in new.items() if value is not None}
    return bulk.run(client, "replay", task_id, given, as_json=as_json)


@tasks.command(epilog=help_lines())
@click.argument("task_id", required=False)
@bulk_options
@json_option
@client_options
def delete(client: ApiClient, *, task_id: str | None, bulk: Bulk, as_json: bool) -> ExitCode:
    """Delete a task that has ended, or all of those that match --rql, and their log lines, for good."""
    if task_id is None or bulk.is_given:
        return bulk.run(client, "delete", task_id, as_json=as_json)
    client.delete(f"/{segment(task_id)}")
    click.echo(f"Deleted {task_id}.")
    return ExitCode.OK


@tasks.command(epilog=help_lines())
@click.argument("task_id", required=False)
@bulk_options
@json_option
@client_options
def erase(client: ApiClient, *, task_id: str | None, bulk: Bulk, as_json: bool) -> ExitCode:
    """Erase a task, or all of those that match --rql, so that no file of the server has anything of them.

    What waits is cancelled; while one runs it is refused. Backups are out of reach.
    """
    return bulk.run(client, "erase", task_id, as_json=as_json)


@tasks.command()
@click.argument("task_id")
@click.option("--follow", is_flag=True, help="Go on until the task is final.")
@json_option
@client_options
def logs(client: ApiClient, *, task_id: str, follow: bool, as_json: bool) -> None:
    """Print what the function printed."""
    polling.get_task(client, task_id)
    lines = polling.follow_logs(client, task_id) if follow else polling.log_lines(client, task_id)
    if as_json:
        output.print_json(list(lines))
    elif not _print_lines(lines):
        output.stderr().print("No log lines.", style="dim")


def _print_lines(lines: Iterable[Json]) -> bool:
    """Prints each line as soon as it is there; whether there were any."""
    console, any_printed = output.stdout(), False
    for line in lines:
        console.print(views.log_line(line))
        any_printed = True
    return any_printed


@tasks.command(epilog=help_lines())
@click.argument("task_id")
@json_option
@client_options
def watch(client: ApiClient, *, task_id: str, as_json: bool) -> ExitCode:
    """Follow a task until it is final; the exit code says how it ended."""
    return _watch(client, task_id, as_json=as_json)


def _watch(client: ApiClient, task_id: str, *, as_json: bool) -> ExitCode:
    console = output.stderr() if as_json else output.stdout()
    with output.stderr().status("waiting") as spinner:

        def on_change(task: Json) -> None:
            spinner.update(views.waiting_line(task, system_clock_ms()))
            console.print(views.change_line(task))

        task = polling.follow(client, task_id, on_change)
    if as_json:
        output.print_json(task)
    return polling.exit_code_of(task)
