"""The benchmarks work, at sizes that say nothing about speed."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.__main__ import main

pytestmark = pytest.mark.slow


def test_every_benchmark_measures_prints_and_writes_its_results(tmp_path: Path) -> None:
    results = tmp_path / "results"
    arguments = ["all", "--quick", "--folder", str(tmp_path), "--results", str(results)]
    outcome = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    reports = {path.stem: json.loads(path.read_text()) for path in results.glob("*.json")}
    expected = (
        "dispatch",
        "local",
        "create",
        "events",
        "bulk",
        "lateness",
        "recovery",
        "memory",
        "mixed",
        "compaction",
        "growth",
    )
    assert set(expected) <= set(reports)
    for name, report in reports.items():
        assert all(row["runs"] or row["absent"] for row in report["rows"]), name
        assert f"Written: {results / name}.json" in outcome.output, name
        assert (results / f"{name}.svg").read_text().startswith("<svg "), name
