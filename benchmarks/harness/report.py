"""The results of a benchmark: a table for people, JSON for programs."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from benchmarks.harness import machine
from benchmarks.harness.plot import svg
from benchmarks.harness.study import Row, Study, ratios, rounded, yardstick


class Report(Struct):
    """All that is written of a benchmark."""

    benchmark: str
    title: str
    at: str
    settings: dict[str, object]
    machine: dict[str, str]
    versions: dict[str, str]
    medians: dict[str, dict[str, float]]
    ratios: dict[str, dict[str, float]]
    """By what is compared to what, such as ``tasks/s ÷ bare loop``."""
    rows: list[Row]


def report_of(study: Study, rows: list[Row], distributions: Sequence[str]) -> Report:
    """What ``rows`` say of ``study``."""
    return Report(
        benchmark=study.name,
        title=study.title,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        settings=study.settings,
        machine=machine.description(),
        versions=machine.versions(distributions),
        medians={row.subject: row.medians for row in rows},
        ratios=dict(_ratios(study, rows)),
        rows=rows,
    )


def show(report: Report, console: Console) -> None:
    """Prints the medians, the ratios, and what they were taken with."""
    columns = _columns(report)
    table = Table(title=report.title, title_justify="left")
    cells = [["", *columns], *([row.subject, *_cells(row, columns.values())] for row in report.rows)]
    if len(columns) > len(report.rows) + 2:
        cells = [list(line) for line in zip(*cells, strict=True)]
    table.add_column(cells[0][0])
    for name in cells[0][1:]:
        table.add_column(name, justify="right")
    for line in cells[1:]:
        table.add_row(*line)
    console.print(table)
    console.print(_conditions(report), style="dim")
    for row in report.rows:
        if row.absent:
            console.print(f"{row.subject} was not measured: {row.absent}")


def write(report: Report, plotted: Sequence[str], folder: Path) -> list[Path]:
    """Writes ``<benchmark>.json`` and ``<benchmark>.svg`` into ``folder``, in place of earlier ones."""
    folder.mkdir(parents=True, exist_ok=True)
    json_path = folder / f"{report.benchmark}.json"
    json_path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2))
    svg_path = json_path.with_suffix(".svg")
    svg_path.write_text(svg(report.title, [row for row in report.rows if row.runs], plotted))
    return [json_path, svg_path]


def _ratios(study: Study, rows: list[Row]) -> Iterator[tuple[str, dict[str, float]]]:
    for comparison in study.comparisons:
        base = yardstick(rows, comparison)
        if base is not None:
            yield f"{comparison.figure} ÷ {base.subject}", ratios(rows, comparison.figure, base)


def _columns(report: Report) -> dict[str, dict[str, float]]:
    """Every figure and every ratio, by subject."""
    names = dict.fromkeys(name for medians in report.medians.values() for name in medians)
    figures = {
        name: {subject: medians[name] for subject, medians in report.medians.items() if name in medians}
        for name in names
    }
    return figures | report.ratios


def _cells(row: Row, columns: Iterable[dict[str, float]]) -> list[str]:
    return [rounded(column[row.subject]) if row.subject in column else "-" for column in columns]


def _conditions(report: Report) -> str:
    runs = max(len(row.runs) for row in report.rows)
    settings = ", ".join(f"{name}: {value}" for name, value in report.settings.items())
    versions = ", ".join(f"{name} {value}" for name, value in report.versions.items())
    host = f"{report.machine['cores']} cores of {report.machine['processor']}"
    return f"Medians of {runs} run{'s' * (runs != 1)} on {host}\n{settings}\n{versions}"
