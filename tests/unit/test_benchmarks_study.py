"""What benchmarks make of what they measure: medians, ratios within a run, tables and pictures."""

import xml.etree.ElementTree as ET
from io import StringIO
from pathlib import Path
from typing import Any, NoReturn

import pytest
from rich.console import Console

from benchmarks.harness.harness import Harness
from benchmarks.harness.plot import svg
from benchmarks.harness.report import report_of, show
from benchmarks.harness.study import (
    Comparison,
    Row,
    Study,
    Subject,
    UnavailableError,
    measure,
    percentiles,
    ratios,
    yardstick,
)


def _study(*subjects: Subject, **more: Any) -> Study:
    fields: dict[str, Any] = {"name": "speed", "title": "Speed", "settings": {}, "plotted": ("m/s",)}
    return Study(subjects=subjects, **{**fields, **more})


def _turns(name: str, *values: float) -> Subject:
    figures = iter(values)
    return Subject(name, lambda: {"m/s": next(figures)})


def _refuse() -> NoReturn:
    raise UnavailableError("there is no snail here")


def test_subjects_take_turns_so_that_a_run_has_one_of_each() -> None:
    heard: list[str] = []
    measure(_study(_turns("hare", 9, 9), _turns("hound", 8, 8)), 2, heard.append)
    assert heard == ["run 1 of 2: hare", "run 1 of 2: hound", "run 2 of 2: hare", "run 2 of 2: hound"]


def test_a_ratio_is_taken_within_a_run_and_then_the_median_of_the_runs() -> None:
    rows = measure(_study(_turns("hare", 10, 40, 30), _turns("hound", 5, 10, 10)), 3, lambda _: None)
    assert rows[0].medians == {"m/s": 30}
    assert ratios(rows, "m/s", rows[1]) == {"hare": 3, "hound": 1}


def test_of_several_yardsticks_the_best_one_that_was_measured_counts() -> None:
    rows = [Row("snail", absent="away"), Row("hare", [{"m/s": 10.0}]), Row("hound", [{"m/s": 8.0}])]
    best = yardstick(rows, Comparison("m/s", ["snail", "hare", "hound"]))
    assert best is not None
    assert best.subject == "hare"
    assert yardstick(rows, Comparison("m/s", ["snail"])) is None


def test_what_cannot_be_measured_is_told_and_not_tried_again() -> None:
    study = _study(_turns("hare", 9, 9), Subject("snail", _refuse), comparisons=[Comparison("m/s", ["snail"])])
    rows = measure(study, 2, lambda _: None)
    output = StringIO()
    show(report_of(study, rows, ()), Console(file=output, width=200))
    assert "snail was not measured: there is no snail here" in output.getvalue()
    assert rows[1].runs == []


def test_a_picture_is_well_formed_whatever_subjects_are_called() -> None:
    rows = [Row("<hare> & hound", [{"m/s": 0.0}, {"m/s": 0.0}]), Row("snail", [{"m/h": 1.0}])]
    texts = [element.text for element in ET.fromstring(svg("a < b", rows, ["m/s"])).iter() if element.text]
    assert "<hare> & hound" in texts
    assert "snail" not in texts


def test_percentiles_are_of_the_values_and_need_two() -> None:
    assert percentiles([3.0, 1.0, 2.0]) == {"p50 ms": 2.0, "p99 ms": pytest.approx(2.98), "max ms": 3.0}
    with pytest.raises(ValueError, match="at least two"):
        percentiles([1.0])


def test_results_are_written_where_they_are_wanted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Harness(1, tmp_path, tmp_path / "new" / "results").conduct(_study(_turns("hare", 9)))
    assert {path.name for path in (tmp_path / "new" / "results").iterdir()} == {"speed.json", "speed.svg"}
    assert "hare" in capsys.readouterr().out
