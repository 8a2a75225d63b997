"""How things look: one palette, one table style, and text of strangers made safe to print."""

import json
import re
import sys
from typing import Any, TextIO

import click
from rich import box
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from taskd.model.status import Status

_UNBOUNDED_COLUMNS = 100_000
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\ud800-\udfff]")

STATUS_STYLES: dict[str, str] = {
    Status.NEW: "blue",
    Status.IN_PROGRESS: "yellow",
    Status.COMPLETE: "green",
    Status.FAILED: "bold red",
    Status.RETRIED: "magenta",
    Status.CANCELED: "dim",
}


def stdout() -> Console:
    """Standard output. Where it is no terminal, lines are as long as they need to be."""
    return _console(sys.stdout, stderr=False)


def stderr() -> Console:
    """Standard error, for what is not a result: progress and remarks."""
    return _console(sys.stderr, stderr=True)


def _console(stream: TextIO, *, stderr: bool) -> Console:
    width = None if stream.isatty() else _UNBOUNDED_COLUMNS
    return Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)


def safe(value: object) -> str:
    """``value`` on one line, with nothing in it that could steer the terminal."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(value))


def counted(number: int, noun: str) -> str:
    """``1 file``, ``1,234 files``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def status_text(status: str) -> Text:
    """A status in its colour."""
    return Text(safe(status), STATUS_STYLES.get(status, ""))


def listing(*columns: str) -> Table:
    """An empty table for a listing: ``>NAME`` is a column of numbers, ``NAME~`` one that may be folded."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False, show_edge=False)
    for column in columns:
        justify: JustifyMethod = "right" if column.startswith(">") else "left"
        table.add_column(column.strip(">~"), justify=justify, no_wrap=not column.endswith("~"), overflow="fold")
    return table


def details() -> Table:
    """An empty table of names and values."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    return table


def print_json(value: Any) -> None:
    """``value`` on standard output, indented."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))
