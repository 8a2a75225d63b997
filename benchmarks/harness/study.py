"""What a benchmark is: a few subjects, measured in turn, several times, and compared run by run.

Measuring the subjects one after the other within each run, and taking ratios within a run, keeps what else the machine
does from favouring one of them.
"""

import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple

from msgspec import Struct, field

Figures = dict[str, float]
"""What one measurement gave, by names that carry the unit, such as ``tasks/s``."""


class UnavailableError(Exception):
    """A subject cannot be measured on this machine; the message says what to install."""


class Subject(NamedTuple):
    """Something that is measured. ``measure`` raises :class:`UnavailableError` when it cannot be."""

    name: str
    measure: Callable[[], Figures]


class Comparison(NamedTuple):
    """A ratio that is reported for every subject: its ``figure`` over that of a yardstick in the same run.

    Of several ``yardsticks``, the one with the largest median counts.
    """

    figure: str
    yardsticks: Sequence[str]


class Study(Struct):
    """A benchmark, ready to be run."""

    name: str
    """The subcommand, and the name of the files with the results."""
    title: str
    subjects: Sequence[Subject]
    settings: dict[str, object]
    """What was chosen, and what is good to know of how the subjects were set up."""
    plotted: Sequence[str]
    """The figures that are drawn."""
    comparisons: Sequence[Comparison] = ()


class Row(Struct):
    """What was measured of one subject."""

    subject: str
    runs: list[Figures] = field(default_factory=list)
    absent: str | None = None
    """Why it could not be measured."""

    @property
    def medians(self) -> Figures:
        """The median of each figure over the runs."""
        names = self.runs[0] if self.runs else ()
        return {name: statistics.median(run[name] for run in self.runs) for name in names}


def measure(study: Study, runs: int, advance: Callable[[str], None]) -> list[Row]:
    """Measures every subject ``runs`` times, in turn; ``advance`` is called before each."""
    rows = [Row(subject.name) for subject in study.subjects]
    for number in range(1, runs + 1):
        for subject, row in zip(study.subjects, rows, strict=True):
            advance(f"run {number} of {runs}: {subject.name}")
            _measure_once(subject, row)
    return rows


def _measure_once(subject: Subject, row: Row) -> None:
    if row.absent is None:
        try:
            row.runs.append(subject.measure())
        except UnavailableError as error:
            row.absent = str(error)


def yardstick(rows: Sequence[Row], comparison: Comparison) -> Row | None:
    """The row that the others are compared with; ``None`` if no yardstick was measured."""
    candidates = [row for row in rows if row.subject in comparison.yardsticks and comparison.figure in row.medians]
    return max(candidates, key=lambda row: row.medians[comparison.figure], default=None)


def ratios(rows: Sequence[Row], figure: str, base: Row) -> dict[str, float]:
    """For each subject that has the figure, the median of its ratios to that of ``base``."""
    return {row.subject: statistics.median(_ratios(row, figure, base)) for row in rows if figure in row.medians}


def _ratios(row: Row, figure: str, base: Row) -> list[float]:
    return [ours[figure] / theirs[figure] for ours, theirs in zip(row.runs, base.runs, strict=True)]


def percentiles(values_ms: Sequence[float]) -> Figures:
    """The distribution of delays: median, p99 and the longest, in milliseconds."""
    if len(values_ms) < 2:
        raise ValueError("a distribution takes at least two values")
    cuts = statistics.quantiles(values_ms, n=100, method="inclusive")
    return {"p50 ms": cuts[49], "p99 ms": cuts[98], "max ms": max(values_ms)}


def rounded(value: float) -> str:
    """Three significant digits, and all of those before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
