"""Operations in bulk as people read them. Fetches nothing."""

from rich.table import Table

from taskd.cli import output, views
from taskd.cli.client import Json
from taskd.cli.exit_codes import ExitCode
from taskd.cli.output import safe, status_text


def table(operations: list[Json], now_ms: int) -> Table:
    """A listing of operations."""
    shown = output.listing("ID", "ACTION", "STATUS", ">DONE", ">SKIPPED", ">MATCHED", "CREATED", "RQL~")
    for each in operations:
        counts = (f"{each[name]:,}" for name in ("done", "skipped", "matched"))
        created = views.relative(each["creationTimestamp"], now_ms)
        shown.add_row(safe(each["id"]), safe(each["action"]), safe(each["status"]), *counts, created, safe(each["rql"]))
    return shown


def match_table(tasks: list[Json]) -> Table:
    """The first matches of a dry run."""
    shown = output.listing("ID", "STATUS", "FUNCTION~", ">PRIORITY", "CREATED", "TAGS~")
    for task in tasks:
        about = (safe(task["functionName"]), f"{task['priority']:,}", safe(task["creationTimestamp"]))
        shown.add_row(safe(task["id"]), status_text(task["status"]), *about, safe(" ".join(task["tags"])))
    return shown


def doing(title: str, operation: Json) -> str:
    """What stands in front of the bar."""
    reason = operation.get("waitReason")
    return title if reason is None else f"{title} waits: {safe(reason)}"


def ended_line(operation: Json) -> str:
    """What became of it."""
    counts = f"{operation['done']:,} of {output.counted(operation['matched'], 'task')}"
    skipped = f", {operation['skipped']:,} skipped: not in a state for it" if operation["skipped"] else ""
    error = f" {safe(operation['error'])}" if "error" in operation else ""
    return f"{safe(operation['action'])} {safe(operation['status'])}: {counts}{skipped}.{error}"


def exit_code_of(operation: Json) -> ExitCode:
    """The exit code of a command that waited for it."""
    return ExitCode.OK if operation["status"] == "done" else ExitCode.FAILED
