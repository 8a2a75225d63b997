"""``taskd journal``: looks into the journal of a data directory, and repairs it when it is damaged.

Works on the files alone. What is read, and how, is the store's to know.
"""

import json
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click
from msgspec import Struct, structs

from taskd.audit.entry import Action
from taskd.audit.operators import by_operator
from taskd.audit.trail import AuditError, AuditTrail
from taskd.cli import output
from taskd.cli.exit_codes import CommandError, ExitCode, help_lines
from taskd.cli.options import json_option
from taskd.cli.output import counted
from taskd.model.clock import system_clock_ms
from taskd.model.limits import MIB
from taskd.model.webhook import WebhookSecret
from taskd.store.embedded.errors import StoreError
from taskd.store.embedded.recovery import inspect
from taskd.store.embedded.recovery import repair as repairing

_HIDDEN = "(hidden)"

P = ParamSpec("P")
R = TypeVar("R")


directory_argument = click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))


def _store_errors_as_command_errors(command: Callable[P, R]) -> Callable[P, R]:
    @wraps(command)
    def with_command_errors(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except (AuditError, StoreError, OSError) as error:
            raise CommandError(str(error)) from error

    return with_command_errors


@click.group(epilog=help_lines())
def journal() -> None:
    """Look into the journal of a data directory, and repair it.

    DIRECTORY is what `taskd serve --data` was given.
    """


@journal.command(epilog=help_lines())
@directory_argument
@json_option
@_store_errors_as_command_errors
def verify(*, directory: Path, as_json: bool) -> ExitCode:
    """Read every byte of the journal, and say whether it is sound.

    A torn tail, as a crash leaves it, is no damage: it was never acknowledged, and the next start cuts it off.
    """
    with output.stderr().status(f"reading the journal in {directory}"):
        report = inspect.verify(directory)
    if as_json:
        output.print_json(json_value(report))
    else:
        _print_report(report)
    return ExitCode.FAILED if report.damage else ExitCode.OK


def _print_report(report: inspect.Report) -> None:
    read = f"{counted(report.frames, 'frame')} in {counted(report.segments, 'segment')} read"
    click.echo(f"{'Damaged' if report.damage else 'Sound'}: {read}, {counted(report.live_tasks, 'live task')}.")
    if tail := report.torn_tail:
        click.echo(f"Torn tail: {counted(tail.size_bytes, 'byte')} at {tail.offset:,} of {tail.path} ({tail.why}).")
    if report.damage:
        click.echo(str(report.damage))


@journal.command()
@directory_argument
@_store_errors_as_command_errors
def dump(*, directory: Path) -> None:
    """Print every frame as one line of JSON, oldest first.

    All that is in it, tasks' data included, but for the secrets of webhooks.
    """
    for frame in inspect.dump(directory):
        output.print_json(json_value(frame), indent=None)


@journal.command()
@directory_argument
@json_option
@_store_errors_as_command_errors
def stats(*, directory: Path, as_json: bool) -> None:
    """Count what is in the journal, and show how large its segments are."""
    with output.stderr().status(f"reading the journal in {directory}"):
        found = inspect.stats(directory)
    if as_json:
        output.print_json(json_value(found))
    else:
        _print_stats(found)


@journal.command()
@directory_argument
@json_option
@_store_errors_as_command_errors
def repair(*, directory: Path, as_json: bool) -> None:
    """Make a damaged journal start again, and tell what was given up.

    Stop the daemon first. The damaged files are kept aside. What cannot be read is taken from the catalogue where that
    has it; a task that may have been started in the part that is lost is not run again.
    """
    with AuditTrail(directory).recording(by_operator(Action.JOURNAL_REPAIR, "journal")) as entry:
        report = repairing.repair(directory, system_clock_ms())
        entry.detail = {"framesLost": str(report.frames_lost), "keptAside": str(report.kept_aside or "")}
    if as_json:
        output.print_json(json_value(report))
    else:
        _print_repair(report)


def _print_repair(report: repairing.RepairReport) -> None:
    if report.kept_aside is None:
        click.echo(f"Nothing to repair: {counted(report.frames_kept, 'frame')}, no damage.")
        return
    for gap in report.gaps:
        frames = (
            f"frames {gap.first_sequence:,} to {gap.before - 1:,}" if gap.before > gap.first_sequence else "the rest"
        )
        click.echo(f"Lost {frames}: {counted(gap.size_bytes, 'byte')} at {gap.offset:,} of {gap.path} ({gap.why}).")
    lost = counted(report.frames_lost, "frame")
    click.echo(f"Repaired: {counted(report.frames_kept, 'frame')} kept, {lost} lost; the next start works.")
    click.echo(f"{counted(report.tasks_from_catalogue, 'task')} as the catalogue knew them.")
    click.echo(f"{counted(report.tasks_unknown, 'task')} that may have run will fail as zombieTaskCleaned.")
    click.echo(f"{counted(report.events_given_up, 'event')} about tasks that are lost were given up.")
    click.echo(
        "Functions, schedules, dispatchers and idempotency keys that changed in what was lost are as they were before."
    )
    click.echo(f"The damaged files are in {report.kept_aside}.")


def _print_stats(found: inspect.Stats) -> None:
    console = output.stdout()
    table = output.listing("SEGMENT", "KIND", ">MIB", ">FRAMES")
    for segment in found.segments:
        table.add_row(segment.name, segment.kind, f"{segment.size_bytes / MIB:,.1f}", f"{segment.frames:,}")
    console.print(table)
    counts = output.details()
    for name, value in structs.asdict(found).items():
        if isinstance(value, int):
            counts.add_row(name.replace("_", " "), f"{value:,}")
    for event, number in found.events.items():
        counts.add_row(f"events: {event}", f"{number:,}")
    console.print()
    console.print(counts)


def json_value(value: Any) -> Any:
    """``value`` as JSON has it: structs as objects that name their kind of event, JSON text as what it says.

    What webhooks sign with is left out: what is printed here is shown to others, in reports of trouble.
    """
    if isinstance(value, WebhookSecret):
        value = structs.replace(value, text=_HIDDEN)
    if isinstance(value, Struct):
        fields = {name: json_value(field) for name, field in structs.asdict(value).items()}
        return {"event": type(value).__name__, **fields} if value.__struct_config__.tag else fields
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    if isinstance(value, bytes | memoryview):
        return _json_or_text(bytes(value))
    return value if isinstance(value, str | int | float | bool | dict | None) else str(value)


def _json_or_text(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return content.decode(errors="replace")
