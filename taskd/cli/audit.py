"""``taskd audit``: who did what to the service."""

import click
from rich.table import Table

from taskd.cli import output, views
from taskd.cli.client import ApiClient, Json, rows
from taskd.cli.exit_codes import help_lines
from taskd.cli.filters import encode_value, task_query
from taskd.cli.options import client_options, json_option, moment
from taskd.cli.output import safe
from taskd.model.clock import system_clock_ms
from taskd.model.durations import parse_duration
from taskd.model.limits import PAGE_LIMIT_DEFAULT
from taskd.model.timestamps import format_ms


def since(context: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """An option's callback: a point in time, or how long ago, as milliseconds since the epoch."""
    if value is None:
        return None
    try:
        return system_clock_ms() - parse_duration(value)
    except ValueError:
        return moment(context, param, value)


@click.command(epilog=help_lines())
@click.option("--since", "since_ms", callback=since, metavar="WHEN", help="How long ago (7d), or a timestamp.")
@click.option("--user", help="Only what this user did: an id, or on the daemon's own machine a name.")
@click.option("--action", help="Only this, such as tasks.cancel, or all of a kind, such as functions.")
@click.option("--subject", help="Only what was done to this: an id or a name.")
@click.option("--filter", "--rql", "rql", metavar="RQL", help="Such as outcome=failed&subjectType=function.")
@click.option("--limit", type=click.IntRange(min=1), default=PAGE_LIMIT_DEFAULT, show_default=True)
@json_option
@client_options
def audit(
    client: ApiClient,
    *,
    since_ms: int | None,
    user: str | None,
    action: str | None,
    subject: str | None,
    rql: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """Show who did what to the service.

    Who cancelled, deployed, granted, made tokens, logged in or looked at environment variables, newest first. It needs
    the permission VIEW_AUDIT. Commands on the daemon's own machine, such as `taskd auth`, are there under the name of
    their user.
    """
    conditions = [
        f"ge(creationTimestamp,{format_ms(since_ms)})" if since_ms is not None else "",
        f"(userId={encode_value(user)}|operator={encode_value(user)})" if user else "",
        _action_condition(action) if action else "",
        f"subjectId={encode_value(subject)}" if subject else "",
        _query(rql),
    ]
    found = list(rows(client, "/taskd/v1/audit", "&".join(filter(None, conditions)), limit))
    output.print_listing(found, _table, "No entries.", as_json=as_json)


def _query(rql: str | None) -> str:
    conditions = task_query(rql, None, None).removesuffix("sort(-id)")  # ids of several processes are in no order
    newest_first = "" if "sort(" in (rql or "") else "sort(-creationTimestamp)"
    return f"{conditions}{newest_first}"


def _action_condition(action: str) -> str:
    if "." in action:
        return f"action={encode_value(action)}"
    return f"ge(action,{encode_value(action + '.')})&lt(action,{encode_value(action + '/')})"


def _table(entries: list[Json], now_ms: int) -> Table:
    table = output.listing("WHEN", "WHO~", "ADDRESS", "ACTION", "SUBJECT~", "OUTCOME~", "DETAIL~")
    for entry in entries:
        who = entry.get("userId") or entry.get("operator") or entry.get("applicationId") or "-"
        detail = " ".join(f"{name}={value}" for name, value in entry.get("detail", {}).items())
        outcome = " ".join(filter(None, (entry["outcome"], entry.get("error"))))
        about = (entry["action"], entry.get("subjectId", "-"), outcome, detail)
        table.add_row(
            views.relative(entry["creationTimestamp"], now_ms), *map(safe, (who, entry.get("address", "-"), *about))
        )
    return table
