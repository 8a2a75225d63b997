"""What all benchmarks share: their common options, progress while they run, and results at the end."""

import functools
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import click
from msgspec import Struct
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from benchmarks.harness.report import report_of, show, write
from benchmarks.harness.study import Study, measure

P = ParamSpec("P")
C = TypeVar("C", bound=Callable[..., Any])
RESULTS = Path(__file__).parents[1] / "results"


class Harness(Struct, frozen=True):
    """Runs studies: how often to measure, where to keep data meanwhile, and where to put the results."""

    runs: int
    folder: Path
    results: Path

    def scratch(self) -> AbstractContextManager[str]:
        """A new folder for data, on the disk that was chosen; gone afterwards."""
        return tempfile.TemporaryDirectory(dir=self.folder, prefix="benchmark-")

    def preparing(self, what: str) -> AbstractContextManager[object]:
        """Shows that something is prepared that takes a while."""
        return Console().status(what)

    def conduct(self, study: Study, distributions: Sequence[str] = ()) -> None:
        """Measures, prints, and writes the results. ``distributions`` are packages whose versions matter too."""
        console = Console()
        columns = (SpinnerColumn(), BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True) as progress:
            bar = progress.add_task(study.name, total=self.runs * len(study.subjects) + 1)

            def advance(doing: str) -> None:
                progress.update(bar, advance=1, description=f"{study.name}, {doing}")

            rows = measure(study, self.runs, advance)
        report = report_of(study, rows, distributions)
        show(report, console)
        for path in write(report, study.plotted, self.results):
            console.print(f"Written: {path}", style="dim", soft_wrap=True)


def size(name: str, default: float, about: str | None = None, *, least: float = 1) -> Callable[[C], C]:
    """An option of a benchmark that is a number, not below ``least``; a whole one if its default is."""
    kind = click.IntRange(min=int(least)) if isinstance(default, int) else click.FloatRange(min=least)
    return click.option(name, type=kind, default=default, show_default=True, help=about)


def benchmark_options(function: Callable[Concatenate[Harness, P], None]) -> Callable[..., None]:
    """Gives a command the options that all benchmarks have, as its first argument."""

    @size("--runs", 3, "How often everything is measured.")
    @click.option(
        "--folder",
        type=click.Path(file_okay=False, exists=True, path_type=Path),
        default=".",
        help="Where data is kept meanwhile; the disk matters.  [default: the current folder]",
    )
    @click.option(
        "--results",
        type=click.Path(file_okay=False, path_type=Path),
        default=RESULTS,
        help="Where JSON and SVG go.  [default: benchmarks/results]",
    )
    @functools.wraps(function)
    def command(runs: int, folder: Path, results: Path, **sizes: Any) -> None:
        function(Harness(runs, folder.absolute(), results), **sizes)  # type: ignore[call-arg]

    return command
