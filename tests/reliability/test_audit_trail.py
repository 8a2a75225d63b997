"""The audit trail on a full disk, torn, old, large, and written by several processes at once."""

import asyncio
import fcntl
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from support.clocks import FakeClock
from support.disk.full_disk import fill

from taskd.audit import files
from taskd.audit.entry import Action, Entry
from taskd.audit.operators import by_operator
from taskd.audit.search import read_part
from taskd.audit.settings import AuditSettings
from taskd.audit.trail import AuditError, AuditTrail
from taskd.model import errors
from taskd.model.errors import ContractError

DAY_MS = 86_400_000
APPEND = """
import sys
from pathlib import Path
from taskd.audit.entry import Action
from taskd.audit.operators import by_operator
from taskd.audit.trail import AuditTrail
for number in range(int(sys.argv[3])):
    with AuditTrail(Path(sys.argv[1])).recording(by_operator(Action.USERS_ADD, "user", f"{sys.argv[2]} {number}")):
        pass
"""


def entry(number: int) -> Entry:
    return Entry("", action=Action.TASKS_CANCEL.value, subject_type="task", subject_id=str(number))


def read(data: Path) -> list[tuple[str, str]]:
    found = [entry for part in files.TrailFiles(data / "audit").parts() for entry in read_part(part)]
    return [(entry.subject_id, entry.outcome) for entry in found]


async def test_entries_of_many_requests_at_once_are_all_there(tmp_path: Path) -> None:
    trail = AuditTrail(tmp_path)

    async def act(number: int) -> None:
        await trail.end(await trail.begin(entry(number)), "" if number % 2 else "TROUBLE")

    await asyncio.gather(*(act(number) for number in range(500)))
    trail.close()
    assert sorted(read(tmp_path)) == sorted((str(n), "done" if n % 2 else "failed") for n in range(500))


def test_processes_at_once_lose_nothing_of_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, "-c", APPEND, str(tmp_path)]
    running = [subprocess.Popen([*command, name, "40"]) for name in ("a", "b", "c")]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    assert sorted(read(tmp_path)) == sorted((f"{name} {n}", "done") for name in "abc" for n in range(40))


async def test_a_process_that_was_stopped_holding_the_lock_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LOCK_TIMEOUT_S", 0.01)
    trail = AuditTrail(tmp_path)
    await trail.begin(entry(1))
    with (tmp_path / "audit" / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ContractError, match="cannot be written now"):
            await trail.begin(entry(2))
    await trail.begin(entry(3))
    trail.close()
    assert [number for number, _ in read(tmp_path)] == ["1", "3"]


def test_an_action_that_a_kill_interrupts_has_an_entry_whose_outcome_is_unknown(tmp_path: Path) -> None:
    text = APPEND.replace("        pass", "        import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert subprocess.run([sys.executable, "-c", text, str(tmp_path), "a", "1"], check=False).returncode == -9
    assert read(tmp_path) == [("a 0", "unknown")]


@pytest.mark.parametrize("kept_bytes", [1, 20, -2])
async def test_a_torn_line_costs_that_line_alone(tmp_path: Path, kept_bytes: int) -> None:
    trail = AuditTrail(tmp_path)
    await trail.begin(entry(1))
    [part] = trail.files.parts()
    whole = part.read_bytes()
    await trail.begin(entry(2))
    line = part.read_bytes()[len(whole) :]
    part.write_bytes(whole + line[:kept_bytes])
    await trail.end(await trail.begin(entry(3)))
    trail.close()
    assert read(tmp_path) == [("1", "unknown"), ("3", "done")]


async def test_on_a_full_disk_actions_are_recorded_in_a_reserve_and_then_refused_until_there_is_room(
    small_disk: Path,
) -> None:
    trail = AuditTrail(small_disk)
    await trail.begin(entry(0))
    filler = fill(small_disk)
    done, kind = 0, None
    try:
        while True:
            await trail.end(await trail.begin(entry(done + 1)))
            done += 1
    except ContractError as refusal:
        kind = refusal.kind
    assert kind is errors.UNAVAILABLE
    assert done > 1000
    with pytest.raises(AuditError, match="Nothing was done"), trail.recording(entry(-1)):
        pytest.fail("it was done")
    filler.unlink()
    await trail.end(await trail.begin(entry(done + 1)))
    trail.close()
    told = read(small_disk)
    assert [number for number, _ in told] == [str(number) for number in range(done + 2)]
    assert (small_disk / "audit" / "reserve").stat().st_size == files.RESERVE_BYTES


async def test_months_that_are_too_old_go_and_no_others(tmp_path: Path) -> None:
    clock = FakeClock(1_750_000_000_000)
    trail = AuditTrail(tmp_path, AuditSettings(keep_days=90), clock)
    for number in range(12):
        await trail.begin(entry(number))
        clock.advance(30 * DAY_MS)
    trail.close()
    assert [number for number, _ in read(tmp_path)] == ["8", "9", "10", "11"]


async def test_a_clock_that_is_set_far_ahead_for_a_while_removes_nothing(tmp_path: Path) -> None:
    clock = FakeClock(1_750_000_000_000)
    trail = AuditTrail(tmp_path, AuditSettings(keep_days=90), clock)
    await trail.begin(entry(1))
    clock.advance(5000 * DAY_MS)
    await trail.begin(entry(2))
    await trail.begin(entry(3))
    trail.close()
    assert len(read(tmp_path)) == 3


async def test_a_trail_that_is_too_large_loses_its_oldest_part_and_the_log_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(files, "PART_MAX_BYTES", 1 << 20)
    trail = AuditTrail(tmp_path, AuditSettings(max_mib=8))
    large = Entry("", action="x", subject_type="x", detail={"text": "x" * 100_000})
    for number in range(100):
        large.subject_id = str(number)
        await trail.begin(large)
    trail.close()
    kept = [number for number, _ in read(tmp_path)]
    assert kept == [str(number) for number in range(100 - len(kept), 100)]
    assert 8 << 20 <= 100_000 * (len(kept) + 11) <= 10 << 20
    assert {record.levelno for record in caplog.records} == {logging.ERROR}
    assert "-0001.jsonl goes" in caplog.text


def test_texts_of_callers_can_steer_no_terminal_and_fill_no_file() -> None:
    made = by_operator(Action.USERS_ADD, "user", "a\n\x1b[2J" + "x" * 10_000, detail="\0")
    assert made.subject_id.startswith("a\ufffd\ufffd[2J")
    assert len(made.subject_id) < 1000
    assert made.detail == {"detail": "\ufffd"}
