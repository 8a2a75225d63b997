"""The results of a benchmark: a table for people, JSON for programs."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from benchmarks import machine
from benchmarks.plot import svg
from benchmarks.study import Row, Study, ratios, rounded, yardstick


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
    figures = list(dict.fromkeys(name for medians in report.medians.values() for name in medians))
    table = Table(title=report.title, caption=_caption(report), caption_justify="left")
    table.add_column("")
    for name in (*figures, *report.ratios):
        table.add_column(name, justify="right")
    for row in report.rows:
        table.add_row(*_cells(report, row, figures))
    console.print(table)
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


def _cells(report: Report, row: Row, figures: Sequence[str]) -> list[str]:
    measured = [row.medians.get(name) for name in figures]
    compared = [of_subject.get(row.subject) for of_subject in report.ratios.values()]
    return [row.subject, *("-" if value is None else rounded(value) for value in (*measured, *compared))]


def _caption(report: Report) -> str:
    runs = max(len(row.runs) for row in report.rows)
    settings = ", ".join(f"{name}: {value}" for name, value in report.settings.items())
    versions = ", ".join(f"{name} {value}" for name, value in report.versions.items())
    host = f"{report.machine['cores']} cores of {report.machine['processor']}"
    return f"Medians of {runs} run{'s' * (runs != 1)} on {host}\n{settings}\n{versions}"
