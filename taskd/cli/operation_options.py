"""Options of ``taskd tasks cancel|replay|delete --rql …``, and how an operation is asked for and followed."""

import time
from collections.abc import Callable
from functools import wraps
from typing import Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from taskd.cli import operation_views, output, polling
from taskd.cli.client import ApiClient, Json, segment
from taskd.cli.exit_codes import CommandError, ExitCode
from taskd.cli.filters import encode_rql, encode_value

OPERATIONS = "/taskd/v1/operations"


def bulk_options(command: Callable[..., ExitCode]) -> Callable[..., ExitCode]:
    """Adds what commands on many tasks have in common; they get it as ``bulk``."""

    @click.option("--rql", metavar="RQL", help="All tasks that match, such as status=failed&functionName=hello.")
    @click.option("--dry-run", is_flag=True, help="Show how many match, and the first of them; do nothing.")
    @click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="At most so many tasks a second.")
    @click.option("--yes", is_flag=True, help="Do not ask.")
    @wraps(command)
    def with_bulk(*args: Any, rql: str | None, dry_run: bool, rate: float | None, yes: bool, **kwargs: Any) -> ExitCode:
        return command(*args, bulk=Bulk(rql, dry_run=dry_run, rate=rate, yes=yes), **kwargs)

    return with_bulk


class Bulk:
    """What was said of which tasks are meant, and how to go about it."""

    def __init__(self, rql: str | None, *, dry_run: bool, rate: float | None, yes: bool) -> None:
        self._rql = rql
        self._dry_run = dry_run
        self._rate = rate
        self._yes = yes

    @property
    def is_given(self) -> bool:
        """Whether anything was said."""
        return self._rql is not None or self._dry_run or self._rate is not None

    def run(
        self, client: ApiClient, action: str, task_id: str | None = None, more: Json | None = None, *, as_json: bool
    ) -> ExitCode:
        """Does ``action`` to the tasks, after asking, and follows it to its end."""
        if (task_id is None) == (self._rql is None):
            raise click.UsageError("Name one task by its ID, or many by --rql.")
        rql = f"id={encode_value(task_id)}" if task_id is not None else encode_rql(self._rql or "")
        body = {"action": action, "rql": rql, **(more or {})}
        if self._rate is not None:
            body["ratePerSecond"] = self._rate
        if self._dry_run:
            return _show_matches(client.post(OPERATIONS, {**body, "dryRun": True}), as_json=as_json)
        if task_id is None and not self._yes:
            _confirm(client.post(OPERATIONS, {**body, "dryRun": True}))
        operation = follow(client, client.post(OPERATIONS, body), action)
        if task_id is not None:
            _require_done(operation, task_id)
        if as_json:
            output.print_json(operation)
        elif task_id is not None and action == "replay":
            replay_id = polling.get_task(client, task_id).get("replayedByTaskId")
            output.stdout().print(f"Replayed {output.safe(task_id)} as {output.safe(replay_id)}.")
        else:
            output.stdout().print(operation_views.ended_line(operation))
        return operation_views.exit_code_of(operation)


def follow(client: ApiClient, operation: Json, title: str) -> Json:
    """The operation as it is when it has ended, with a bar meanwhile. It goes on if this is interrupted."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=output.stderr(), transient=True) as progress:
            bar = progress.add_task(title, total=operation["matched"])
            delays = polling.delays()
            while operation["status"] == "running":
                time.sleep(next(delays))
                operation = client.get(f"{OPERATIONS}/{segment(operation['id'])}")
                description = operation_views.doing(title, operation)
                progress.update(bar, completed=operation["done"] + operation["skipped"], description=description)
    except KeyboardInterrupt:
        operation_id = output.safe(operation["id"])
        hint = (
            f"It goes on. `taskd operations show {operation_id}` says how far it is, `abort` instead of `show` ends it."
        )
        output.stderr().print(hint)
        raise
    return operation


def _require_done(operation: Json, task_id: str) -> None:
    """Raises where one task was named, and nothing was done to it."""
    if not operation["matched"]:
        raise CommandError(f"there is no task with the id {task_id}", ExitCode.NOT_FOUND)
    if operation["skipped"]:
        only = (
            "only a new task can be canceled" if operation["action"] == "cancel" else "it has not ended, or is unique"
        )
        raise CommandError(f"nothing was done to task {task_id}: {only}")


def _confirm(found: Json) -> None:
    if not found["matched"]:
        return
    question = f"{found['action'].capitalize()} {output.counted(found['matched'], 'task')}?"
    if not click.confirm(question, err=True):
        raise click.Abort


def _show_matches(found: Json, *, as_json: bool) -> ExitCode:
    if as_json:
        output.print_json(found)
        return ExitCode.OK
    shown = found["first"]
    if shown:
        output.stdout().print(operation_views.match_table(shown))
    more = f", of which these are the first {len(shown)}" if found["matched"] > len(shown) else ""
    output.stdout().print(f"{output.counted(found['matched'], 'task')} would have a turn{more}. Nothing was done.")
    return ExitCode.OK
