"""Queries of the audit trail over many months: those before the time asked for are not read, and none is missed."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from taskd.audit.entry import Entry
from taskd.audit.files import TrailFiles
from taskd.audit.search import find
from taskd.rql.parser import parse


def at_ms(month: int, day: int = 1) -> int:
    return int(datetime(2026, month, day, tzinfo=UTC).timestamp() * 1000)


@pytest.fixture
def files(tmp_path: Path) -> TrailFiles:
    """An entry on the 1st and on the 15th of each month of 2026."""
    files = TrailFiles(tmp_path / "audit")
    for month in range(1, 13):
        for day in (1, 15):
            entry = Entry(f"{month:02}{day:02}", at_ms(month, day), "x", "done", subject_id=f"{month}-{day}")
            files.append(msgspec.json.encode(entry) + b"\n", entry.at_ms)
    return files


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("ge(creationTimestamp,2026-12-01T00:00:00.000Z)", ["12-1", "12-15"]),
        ("gt(creationTimestamp,2026-12-01T00:00:00.000Z)", ["12-15"]),
        ("creationTimestamp=2026-11-15T00:00:00.000Z", ["11-15"]),
        ("gt(creationTimestamp,2026-11-20T00:00:00.000Z)&subjectId=12-1", ["12-1"]),
        ("ge(creationTimestamp,2026-12-15T00:00:00.000Z)|subjectId=1-1", ["1-1", "12-15"]),
        ("lt(creationTimestamp,2026-01-10T00:00:00.000Z)", ["1-1"]),
        ("ge(creationTimestamp,9999-12-31T00:00:00.000Z)", []),
        ("ge(creationTimestamp,-5)&limit(1)", ["1-1"]),
        ("sort(-creationTimestamp)&limit(2)", ["12-15", "12-1"]),
        ("limit(2,22)", ["12-1", "12-15"]),
    ],
)
def test_entries_are_found_by_their_time(files: TrailFiles, query: str, found: list[str]) -> None:
    assert [entry.subject_id for entry in find(files, parse(query)).rows] == found


def test_an_entry_that_was_written_with_one_of_the_month_before_is_found(files: TrailFiles) -> None:
    late = Entry("late", at_ms(12), "x", "done", subject_id="late")
    files.append(msgspec.json.encode(late) + b"\n", late.at_ms - 1)
    found = find(files, parse("ge(creationTimestamp,2026-12-01T00:00:00.000Z)"))
    assert {entry.subject_id for entry in found.rows} == {"late", "12-1", "12-15"}


def test_months_before_the_time_asked_for_are_not_read(files: TrailFiles) -> None:
    for part in files.parts()[:-1]:
        part.unlink()
        part.mkdir()  # cannot be read
    assert find(files, parse("ge(creationTimestamp,2026-12-02T00:00:00.000Z)")).total == 1
    with pytest.raises(IsADirectoryError):
        find(files, parse("subjectId=1-1"))
