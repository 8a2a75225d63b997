"""How ``taskd demo`` looks: a table while tasks run, their logs in order, and what to try next."""

import shlex
import shutil
import sys
from pathlib import Path

from rich import box
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from taskd.cli.client import Json
from taskd.cli.demo_tasks import PYTHON, Run, done_ms
from taskd.cli.moments import format_duration
from taskd.cli.output import STATUS_STYLES, safe
from taskd.cli.polling import is_final
from taskd.model.status import Status

ACCENT = "cyan"
_GLYPHS = {Status.NEW: "○", Status.IN_PROGRESS: "◐", Status.COMPLETE: "●", Status.FAILED: "✗"}


def header() -> RenderableType:
    """What this is."""
    title = Text.assemble(
        ("taskd", f"bold {ACCENT}"), "  run this function with this data, at this time, first things first"
    )
    return Panel(title, box=box.ROUNDED, border_style=ACCENT, expand=False, padding=(0, 2))


def step(text: str, detail: str = "") -> Text:
    """Something that has been done."""
    return Text.assemble(("  ✓ ", "green"), text, (f"  {detail}" if detail else "", "dim"))


def skipped(text: str) -> Text:
    """Something that was left out, and why."""
    return Text.assemble(("  ! ", "yellow"), (text, "yellow"))


def progress(tasks: list[Json], run: Run, now_ms: int) -> RenderableType:
    """The table of tasks as they are now, those that ran on top in the order in which they did."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", padding=(0, 1), pad_edge=False, show_edge=False)
    table.add_column("RAN", justify="right", style=ACCENT)
    table.add_column("PRIORITY", justify="right")
    table.add_column("TASK", no_wrap=True)
    table.add_column("FUNCTION", style="dim")
    table.add_column("STATUS", no_wrap=True, min_width=12)
    table.add_column("DONE", justify="right", style="dim", min_width=7)
    for number, task in enumerate(tasks, start=1):
        table.add_row(*_cells(number, task, run))
    return Group(Text(), table, Text(), _caption(tasks, run, now_ms))


def _cells(number: int, task: Json, run: Run) -> tuple[str | Text, ...]:
    plan, final = run.plans[task["id"]], is_final(task)
    done = f"+{format_duration(max(0, done_ms(task) - run.due_ms))}" if final else ""
    return str(number) if final else "", str(plan.priority), plan.label, plan.function, _status(task), done


def _status(task: Json) -> Text:
    status = task["status"]
    return Text(f"{_GLYPHS.get(status, '●')} {status}", STATUS_STYLES.get(status, ""))


def _caption(tasks: list[Json], run: Run, now_ms: int) -> Text:
    if now_ms < run.due_ms:
        return Text(f"  all of them are due in {format_duration(run.due_ms - now_ms)}", "dim")
    left = sum(not is_final(task) for task in tasks)
    if left:
        return Text(f"  {left} to go", "dim")
    return Text("  highest priority first; equal ones in the order in which they were created", "dim")


def result_line(number: int, task: Json, run: Run) -> str:
    """A row of the table for where there is no terminal."""
    plan = run.plans[task["id"]]
    return f"{number}. {task['status']:<10} priority {plan.priority:>4}  {plan.label} ({plan.function})"


def logs(number: int, task: Json, lines: list[Json], run: Run) -> RenderableType:
    """What a task's function printed, and why it failed if it did."""
    plan = run.plans[task["id"]]
    about = (f"  priority {plan.priority} · {plan.function}", "dim")
    title = Text.assemble((f"{number:>3} ", ACCENT), (plan.label, "bold"), about)
    body = [Text.assemble(("    │ ", "dim"), safe(line["message"])) for line in lines]
    if error := task.get("error"):
        body.append(Text(f"    ✗ {safe(error['name'])}: {safe(error['message'])}", "red"))
    return Group(title, *body)


def summary(tasks: list[Json]) -> Text:
    """How it went."""
    complete = sum(task["status"] == Status.COMPLETE for task in tasks)
    style = "bold green" if complete == len(tasks) else "bold red"
    return Text.assemble((f"{complete} of {len(tasks)} tasks are complete.", style))


def next_steps(url: str, header: Path | None, task_id: str) -> list[str]:
    """Commands that work as they stand while the demo serves; with remarks, which begin with ``#``.

    ``header`` is the file with the header that shows who calls, where callers are asked.
    """
    curl = "curl -gs" if "[" in url else "curl -s"
    curl += f" -H {shlex.quote(f'@{header.absolute()}')}" if header else ""
    body = f'{{"functionName": "{PYTHON}", "data": {{"heartRate": 131}}}}'
    base = f"{url}/tasks/v1"
    program = _program()
    return [
        "# over HTTP",
        f"{curl} -X POST {base}/ -H 'Content-Type: application/json' -d {shlex.quote(body)}",
        f"{curl} {shlex.quote(base + '/?eq(status,complete)&sort(-priority)&limit(3)')}",
        f"{curl} {base}/{task_id}/logs",
        f"{curl} {url}/health",
        "# from the command line",
        f"export TASKD_URL={url}",
        f"{program} tasks list",
        f"{program} tasks create {PYTHON} --data '{{\"heartRate\": 131}}' --start +3s --wait",
        f"{program} functions show {PYTHON}",
    ]


def print_next_steps(console: Console, url: str, header: Path | None, task_id: str) -> None:
    """The commands, each on a line of its own so that it can be copied."""
    console.print(Text("\nTry next", f"bold {ACCENT}"))
    for line in next_steps(url, header, task_id):
        if line.startswith("#"):
            console.print(Text(f"\n  {line}", "dim"))
        else:
            console.print(Text(f"  {line}"), soft_wrap=True)


def _program() -> str:
    return "taskd" if shutil.which("taskd") else f"{shlex.quote(sys.executable)} -m taskd"
