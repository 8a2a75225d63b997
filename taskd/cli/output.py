"""Output: one palette, one table style, and untrusted text made safe to print."""

import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TextIO

import click
from rich import box
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from taskd.model.clock import system_clock_ms
from taskd.model.status import Status

_UNBOUNDED_COLUMNS = 100_000
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What steers a terminal, or has it show text in another order than it is read in."""

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


def print_json(value: Any, indent: int | None = 2) -> None:
    """``value`` on standard output. All that could steer the terminal is escaped, not only what JSON says must be."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    click.echo(_CONTROL.sub(lambda found: found[0] if found[0] == "\n" else f"\\u{ord(found[0]):04x}", text))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A listing of ``rows`` on standard output; for ``columns`` see :func:`listing`."""
    table = listing(*columns)
    for row in rows:
        table.add_row(*map(safe, row))
    stdout().print(table)


def print_listing(
    records: list[dict[str, Any]], table: Callable[[list[dict[str, Any]], int], Table], empty: str, *, as_json: bool
) -> None:
    """``records`` as JSON, or as what ``table`` makes of them and the time; the remark ``empty`` if there are none."""
    if as_json:
        print_json(records)
    elif records:
        stdout().print(table(records, system_clock_ms()))
    else:
        stderr().print(empty, style="dim")


def print_record(record: dict[str, Any], table: Callable[[dict[str, Any], int], Table], *, as_json: bool) -> None:
    """``record`` as JSON, or as what ``table`` makes of it and the time."""
    if as_json:
        print_json(record)
    else:
        stdout().print(table(record, system_clock_ms()))
