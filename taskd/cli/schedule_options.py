"""The options that describe a schedule, and the fields of the API that they become."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import click

from taskd.cli.client import Json
from taskd.cli.options import duration, json_object, moment
from taskd.cli.unique_options import unique_options
from taskd.model.schedule import Overlap
from taskd.model.timestamps import format_ms

P = ParamSpec("P")
R = TypeVar("R")

CLEARED = {
    "zone": "timeZone",
    "catch-up": "catchUpSeconds",
    "jitter": "jitterSeconds",
    "end": "endTimestamp",
    "remaining": "remaining",
    "note": "note",
    "unique": "unique",
}
"""What can be taken away from a schedule, by the names of the options."""
_OVERLAPS = [overlap.value for overlap in Overlap]
_OPTIONS = (
    click.option("--every", callback=duration, metavar="DURATION", help="Such as 30s, 5m, 1h30m or 1d."),
    click.option("--cron", metavar="EXPRESSION", help="Such as '0 7 * * 1-5', or @daily."),
    click.option("--zone", metavar="NAME", help="The time zone of --cron, such as Europe/Brussels.  [default: UTC]"),
    click.option("--data", callback=json_object, metavar="JSON", help="A JSON object, @file, or - for stdin."),
    click.option("--start", callback=moment, metavar="WHEN", help="The first time: +5m, or 2026-01-31T12:00:00Z."),
    click.option("--end", callback=moment, metavar="WHEN", help="No task is due after this."),
    click.option("--remaining", type=click.IntRange(min=1), help="How many tasks it makes before it ends."),
    click.option("--priority", type=int, help="The highest goes first; the function's default where not given."),
    click.option("--tag", "tags", multiple=True, help="Of each of its tasks. Repeatable."),
    click.option("--overlap", type=click.Choice(_OVERLAPS), help="What to do while an earlier task has not ended."),
    click.option("--catch-up", callback=duration, metavar="DURATION", help="How late a missed task is still made."),
    click.option("--jitter", callback=duration, metavar="DURATION", help="How much later than its time a task may be."),
    click.option("--note", help="Kept with the schedule, for people."),
)
_MOMENTS = {"start": "startTimestamp", "end": "endTimestamp"}
_DURATIONS = {"every": "interval", "catch_up": "catchUpSeconds", "jitter": "jitterSeconds"}
_OTHERS = {
    "cron": "cron",
    "zone": "timeZone",
    "data": "data",
    "remaining": "remaining",
    "priority": "priority",
    "tags": "tags",
    "overlap": "overlap",
    "note": "note",
    "unique": "unique",
}


def schedule_options(command: Callable[Concatenate[P], R]) -> Callable[P, R]:
    """Adds the options, and passes the command what was given as ``given``, in the fields of the API."""

    @wraps(command)
    def with_fields(*args: Any, **options: Any) -> R:
        taken = {name: options.pop(name) for name in (*_MOMENTS, *_DURATIONS, *_OTHERS)}
        return command(*args, given=_fields(taken), **options)  # type: ignore[arg-type]

    decorated: Any = unique_options(with_fields)
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]


def require_times(given: Json) -> None:
    """Raises ``click.UsageError`` unless there is one of the two options that say when."""
    if ("interval" in given) == ("cron" in given):
        raise click.UsageError("Give one of --every and --cron.")


def _fields(taken: Json) -> Json:
    given = {name: value for name, value in taken.items() if value is not None and value != ()}
    return (
        {field: format_ms(given[name]) for name, field in _MOMENTS.items() if name in given}
        | {field: given[name] / 1000 for name, field in _DURATIONS.items() if name in given}
        | {field: given[name] for name, field in _OTHERS.items() if name in given}
    )
