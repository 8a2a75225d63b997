"""A bar chart as SVG: a panel for each figure, a bar for each subject's median, a dot for each of its runs."""

from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from benchmarks.harness.study import Row, rounded

_WIDTH = 760
_LABELS_WIDTH = 210
_VALUES_WIDTH = 90
_ROW_HEIGHT = 26
_PANEL_HEAD = 34
_TITLE_HEIGHT = 40


def svg(title: str, rows: Sequence[Row], figures: Sequence[str]) -> str:
    """The picture of ``figures`` of ``rows``; subjects that lack a figure are left out of its panel."""
    panels: list[str] = []
    top = _TITLE_HEIGHT
    for figure in figures:
        shown = [row for row in rows if figure in row.medians]
        panels += _panel(figure, shown, top)
        top += _PANEL_HEAD + _ROW_HEIGHT * len(shown)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{top + 12}" font-family="sans-serif">'
    background = '<rect width="100%" height="100%" fill="white"/>'
    return "\n".join([head, background, _text(12, 26, title, size=16, weight="bold"), *panels, "</svg>\n"])


def _panel(figure: str, rows: Sequence[Row], top: int) -> Iterator[str]:
    largest = max((run[figure] for row in rows for run in row.runs), default=0.0)
    scale = (_WIDTH - _LABELS_WIDTH - _VALUES_WIDTH) / (largest or 1.0)
    yield _text(12, top + 22, figure, size=13, weight="bold")
    for number, row in enumerate(rows):
        yield from _bar(row, figure, top + _PANEL_HEAD + number * _ROW_HEIGHT, scale)


def _bar(row: Row, figure: str, top: int, scale: float) -> Iterator[str]:
    median = row.medians[figure]
    middle = top + _ROW_HEIGHT // 2
    yield _text(_LABELS_WIDTH - 8, middle + 4, row.subject, anchor="end")
    yield f'<rect x="{_LABELS_WIDTH}" y="{top + 4}" width="{median * scale:.1f}" height="18" fill="#7aa6c2"/>'
    for run in row.runs:
        yield f'<circle cx="{_LABELS_WIDTH + run[figure] * scale:.1f}" cy="{middle}" r="3" fill="#17405c"/>'
    rightmost = max(run[figure] for run in row.runs)
    yield _text(_LABELS_WIDTH + rightmost * scale + 8, middle + 4, rounded(median))


def _text(x: float, y: float, text: str, *, size: int = 12, weight: str = "normal", anchor: str = "start") -> str:
    style = f'font-size="{size}" font-weight="{weight}" text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>'
