"""Tasks and functions as people read them: the API's JSON made into tables and lines. Fetches nothing."""

import json
from typing import Any

from rich.table import Table
from rich.text import Text

from taskd.cli import output
from taskd.cli.client import Json
from taskd.cli.moments import format_relative
from taskd.cli.output import safe, status_text
from taskd.model.status import Status
from taskd.model.timestamps import parse_rfc3339

_SHORT_JSON_CHARS = 90


def task_table(tasks: list[Json], now_ms: int) -> Table:
    """A listing of tasks."""
    table = output.listing("ID", "STATUS", "FUNCTION~", ">PRIORITY", "START", "CHANGED", "TAGS~")
    for task in tasks:
        table.add_row(
            safe(task["id"]),
            status_text(task["status"]),
            safe(task["functionName"]),
            f"{task['priority']:,}",
            relative(task["startTimestamp"], now_ms),
            relative(task["statusChangedTimestamp"], now_ms),
            safe(" ".join(task.get("tags", ()))),
        )
    return table


def details(record: Json, now_ms: int) -> Table:
    """Everything about a task or a function, in the order of the API."""
    table = output.details()
    for name, value in record.items():
        table.add_row(name, _detail(name, value, now_ms))
    return table


def function_table(functions: list[Json], now_ms: int) -> Table:
    """A listing of functions."""
    table = output.listing("NAME", "DESCRIPTION~", "UPDATED")
    for function in functions:
        updated = relative(function["updateTimestamp"], now_ms)
        table.add_row(safe(function["name"]), safe(function.get("description", "")), updated)
    return table


def _detail(name: str, value: Any, now_ms: int) -> Text:
    if name == "status":
        return status_text(value)
    if name.endswith("Timestamp"):
        return Text.assemble(safe(value), (f"  {relative(value, now_ms)}", "dim"))
    if isinstance(value, str):
        return Text(safe(value))
    return Text("\n".join(map(safe, _json(value).split("\n"))))


def _json(value: Any) -> str:
    short = json.dumps(value, ensure_ascii=False)
    return short if len(short) <= _SHORT_JSON_CHARS else json.dumps(value, indent=2, ensure_ascii=False)


def relative(timestamp: str, now_ms: int) -> str:
    """How far ``timestamp`` is from now; as it stands if it is none."""
    moment_ms = parse_rfc3339(timestamp)
    return safe(timestamp) if moment_ms is None else format_relative(moment_ms, now_ms)


def created_line(task: Json, now_ms: int) -> Text:
    """That a task was made, and when it will run."""
    start_ms = parse_rfc3339(task["startTimestamp"]) or now_ms
    due = format_relative(start_ms, now_ms) if start_ms > now_ms else "now"
    about = f" of {safe(task['functionName'])}, priority {task['priority']:,}, due {due}"
    if task.get("conflict"):
        key = safe(task.get("unique", {}).get("key"))
        status = (" has the unique key ", (key, "bold"), ": ", status_text(task["status"]))
        return Text.assemble("Task ", (safe(task["id"]), "bold"), *status, about)
    return Text.assemble("Created ", (safe(task["id"]), "bold"), about)


def waiting_line(task: Json, now_ms: int) -> Text:
    """What is being waited for."""
    about = f" {safe(task['functionName'])}"
    if task["status"] == Status.NEW:
        about += f", due {relative(task['startTimestamp'], now_ms)}"
    return Text.assemble(status_text(task["status"]), about)


def change_line(task: Json) -> Text:
    """That a task's status changed, when, and for what reason."""
    line = Text.assemble((safe(task["statusChangedTimestamp"]), "dim"), " ", status_text(task["status"]))
    if error := task.get("error"):
        line.append(f"  {safe(error.get('name'))}: {safe(error.get('message'))}", "red")
    if successor := task.get("retriedByTaskId"):
        line.append(f"  retried as {safe(successor)}", "dim")
    return line


def log_line(line: Json) -> Text:
    """A line of a log, with its time."""
    return Text.assemble((safe(line["timestamp"]), "dim"), " ", safe(line["message"]))
