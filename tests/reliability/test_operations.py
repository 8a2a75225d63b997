"""Operations in bulk under faults: killed at every step, without their list, on a full disk, with no room for more."""

import asyncio
import errno
import shutil
from collections import Counter
from pathlib import Path

import pytest
from support.clocks import FakeClock
from support.disk.failing_calls import FailingCalls
from support.disk.full_disk import fill

from taskd.model.logline import LogLine
from taskd.model.operation import Operation, OperationAction, OperationDraft
from taskd.model.task import Task, TaskDraft
from taskd.rql.parser import parse, parse_filter
from taskd.store.base import Completed, StoreUnavailableError
from taskd.store.embedded.match_files import MatchFiles
from taskd.store.embedded.recovery.repair import repair
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore
from taskd.system.files import SyncFailedError

MATCHES = 12
STEP = 3


async def opened(data: Path, fatal: list[BaseException] | None = None, live_tasks_max: int = 1_000) -> EmbeddedStore:
    failing = [] if fatal is None else fatal
    settings = StoreSettings(data=str(data), live_tasks_max=live_tasks_max)
    store = EmbeddedStore(settings, FakeClock(), failing.append)
    await store.start()
    return store


async def operate(store: EmbeddedStore, action: OperationAction, rql: str) -> Operation:
    where = parse_filter(rql)
    assert where is not None
    return await store.add_operation(OperationDraft(action, rql), where)


async def finish(store: EmbeddedStore, limit: int = STEP) -> None:
    while await store.advance_operations(limit):
        pass


async def ended_tasks(store: EmbeddedStore, count: int = MATCHES) -> list[Task]:
    await store.add([TaskDraft("f", b"{}", 0) for _ in range(count)])
    settled = await store.settle([Completed(task.id) for task in await store.claim(count)])
    return [task for task in settled if task is not None]


async def replays(store: EmbeddedStore) -> Counter[str | None]:
    """How many replays there are of each task that has any."""
    found = (await store.find(parse("contains(replayOfTaskId)&limit(100)"))).rows
    return Counter(task.extras.replay_of_task_id for task in found if task.extras)


def holding(data: Path, *texts: bytes) -> list[str]:
    """The files that have one of these."""
    files = (path for path in data.rglob("*") if path.is_file())
    return [str(path) for path in files if any(text in path.read_bytes() for text in texts)]


async def test_after_an_erasure_no_file_has_what_it_looked_for(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.add([TaskDraft("f", b'{"patientId":"p-4711"}', 0) for _ in range(5)])
    await store.settle([Completed(task.id, (LogLine(1, "saw p-4711"),)) for task in await store.claim(3)])
    await ended_tasks(store)
    await finish(store, 100)
    operation = await operate(store, OperationAction.ERASE, "data.patientId=p-4711")
    await store.advance_operations(2)
    assert holding(tmp_path, b"p-4711")
    await finish(store)
    ended = await store.operation(operation.id)
    assert (ended.status, ended.done) == ("done", 5)
    assert holding(tmp_path, b"p-4711") == []
    assert (await store.find(parse("functionName=f"))).total == MATCHES
    await store.stop()
    assert holding(tmp_path, b"p-4711") == []


def remove(directory: Path, pattern: str) -> None:
    for path in directory.glob(pattern):
        path.unlink()


def listed(data: Path) -> set[str]:
    """The operations that there are lists of."""
    return {path.stem for path in data.glob("operations/*")}


@pytest.mark.parametrize("action", OperationAction)
async def test_killed_after_every_step_it_goes_on_and_does_nothing_twice(
    tmp_path: Path, action: OperationAction
) -> None:
    """A copy of the directory, as it is while the store works on it, is what a killed process leaves."""
    store = await opened(tmp_path / "data")
    ended = [] if action is OperationAction.CANCEL else await ended_tasks(store)
    olds = ended if action is OperationAction.REPLAY else []
    if not ended:
        await store.add([TaskDraft("f", b"{}", 0) for _ in range(MATCHES)])
    operation = await operate(store, action, "functionName=f")
    left = [shutil.copytree(tmp_path / "data", tmp_path / "0")]
    while await store.advance_operations(STEP):
        left.append(shutil.copytree(tmp_path / "data", tmp_path / str(len(left))))
    await store.stop()
    last = [MATCHES // STEP] if action is OperationAction.ERASE else []  # that of the purge
    assert len(left) == MATCHES // STEP + 1 + len(last)
    for steps, data in zip([*range(MATCHES // STEP + 1), *last], left, strict=True):
        again = await opened(data)
        assert (await again.operation(operation.id)).done == steps * STEP
        await finish(again)
        assert (await again.operation(operation.id)).done == MATCHES
        assert await replays(again) == {old.id: 1 for old in olds}
        assert (await again.find(parse("status=new"))).total == len(olds)
        assert (await again.find(parse("status=complete"))).total == len(olds), "none, where they were deleted"
        assert list((data / "operations").iterdir()) == []
        await again.stop()


async def test_killed_before_the_journal_knows_of_it_there_is_no_operation_and_no_list(tmp_path: Path) -> None:
    store = await opened(tmp_path / "data")
    await ended_tasks(store)
    copied = shutil.copytree(tmp_path / "data", tmp_path / "left")
    operation = await operate(store, OperationAction.REPLAY, "status=complete")
    shutil.copytree(tmp_path / "data" / "operations", copied / "operations")
    (copied / "operations" / "half.tmp").write_bytes(b"x")
    await store.stop()
    again = await opened(copied)
    assert (await again.find_operations(parse(""))).rows == []
    assert list((copied / "operations").iterdir()) == []
    assert operation.matched == MATCHES
    await again.stop()


@pytest.mark.parametrize("damage", ["gone", "shorter", "empty", "a bit", "another magic", "longer"])
async def test_without_its_list_an_operation_fails_and_says_why(tmp_path: Path, damage: str) -> None:
    store = await opened(tmp_path)
    await ended_tasks(store)
    operation = await operate(store, OperationAction.REPLAY, "status=complete")
    await store.advance_operations(STEP)
    await store.stop()
    path = tmp_path / "operations" / f"{operation.id}.matches"
    whole = path.read_bytes()
    flipped = whole[:-1] + bytes([whole[-1] ^ 1])
    content = {"shorter": whole[:-3], "empty": b"", "a bit": flipped, "another magic": b"x" + whole[1:]}
    path.write_bytes(content.get(damage, whole + b"x" * 8))
    if damage == "gone":
        path.unlink()
    store = await opened(tmp_path)
    [failed] = await store.advance_operations(STEP)
    assert (failed.status, failed.done) == ("failed", STEP)
    assert str(path) in (failed.error or "")
    assert await store.advance_operations(STEP) == []
    assert (await replays(store)).total() == STEP
    await store.stop()


async def test_with_a_new_catalogue_what_waits_is_still_cancelled_and_what_is_lost_is_skipped(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await ended_tasks(store, 2)
    await store.add([TaskDraft("f", b"{}", 0) for _ in range(4)])
    cancel = await operate(store, OperationAction.CANCEL, "functionName=f")
    replay = await operate(store, OperationAction.REPLAY, "functionName=f")
    await store.stop()
    remove(tmp_path, "catalogue.db*")
    store = await opened(tmp_path)
    await finish(store)
    ended = [await store.operation(operation.id) for operation in (cancel, replay)]
    assert [(each.status, each.position) for each in ended] == [("done", 6), ("done", 6)]
    assert ended[0].done == 4
    await store.stop()


async def test_on_a_full_disk_an_operation_waits_says_so_and_goes_on(small_disk: Path) -> None:
    fatal: list[BaseException] = []
    store = await opened(small_disk / "data", fatal)
    await store.add([TaskDraft("f", b"{}", 0) for _ in range(MATCHES)])
    operation = await operate(store, OperationAction.CANCEL, "status=new")
    filler = fill(small_disk)
    with pytest.raises(StoreUnavailableError):
        await store.add([TaskDraft("f", b'{"x":"' + b"x" * 100_000 + b'"}', 0)])
    assert await store.advance_operations(STEP) == []
    waiting = await store.operation(operation.id)
    assert "No space left" in (waiting.wait_reason or "")
    assert (await store.find_operations(parse("contains(waitReason)"))).rows == [waiting]
    with pytest.raises(StoreUnavailableError):
        await operate(store, OperationAction.CANCEL, "status=new")
    with pytest.raises(StoreUnavailableError):
        await store.abort_operation(operation.id)
    filler.unlink()
    async with asyncio.timeout(10):
        while (await store.status()).trouble is not None:
            await asyncio.sleep(0.05)
    await finish(store)
    ended = await store.operation(operation.id)
    assert (ended.status, ended.done, ended.wait_reason) == ("done", MATCHES, None)
    assert [task.id for task in await store.claim(10)] == []
    await store.stop()
    assert fatal == []


async def test_replays_leave_room_for_the_creations_of_others(tmp_path: Path) -> None:
    store = await opened(tmp_path, live_tasks_max=20)
    await ended_tasks(store, 20)
    operation = await operate(store, OperationAction.REPLAY, "status=complete")
    await finish(store, limit=2)
    waiting = await store.operation(operation.id)
    assert waiting.done == 16
    assert "left to others" in (waiting.wait_reason or "")
    await store.add([TaskDraft("f", b"{}", 0)])
    await store.settle([Completed(task.id) for task in await store.claim(17)])
    await finish(store, limit=2)
    ended = await store.operation(operation.id)
    assert (ended.status, ended.done, ended.wait_reason) == ("done", 20, None)
    await store.stop()


async def test_a_list_that_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await opened(tmp_path)
    await ended_tasks(store)

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises((StoreUnavailableError, SyncFailedError)):
            await operate(store, OperationAction.REPLAY, "status=complete")
    assert (await store.find_operations(parse(""))).rows == []
    await store.stop()


async def test_a_caller_that_goes_away_leaves_no_list_behind(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await ended_tasks(store)
    for turns in range(1, 12):
        asking = asyncio.create_task(operate(store, OperationAction.REPLAY, "status=complete"))
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
    running = {operation.id for operation in (await store.find_operations(parse("status=running"))).rows}
    assert listed(tmp_path) <= running
    await store.stop()


async def test_a_repaired_journal_ends_what_may_have_gone_further(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await ended_tasks(store)
    operation = await operate(store, OperationAction.REPLAY, "status=complete")
    await store.advance_operations(STEP)
    segment = max((tmp_path / "journal").glob("*.journal"))
    before_bytes = len(segment.read_bytes().rstrip(b"\0"))
    await store.advance_operations(STEP)
    await store.advance_operations(STEP)
    await store.stop()
    content = bytearray(segment.read_bytes())
    content[before_bytes + 100] ^= 0xFF
    segment.write_bytes(content)
    assert repair(tmp_path, 1).gaps
    store = await opened(tmp_path)
    ended = await store.operation(operation.id)
    assert ended.status == "failed"
    assert "repaired" in (ended.error or "")
    await finish(store)
    assert set((await replays(store)).values()) == {1}
    await store.stop()


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EMFILE])
def test_whichever_call_fails_there_is_the_whole_list_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    parts = [number.to_bytes(8, "big") for number in range(2_000)]
    count, failed = 0, []
    while True:
        data = tmp_path / str(count)
        data.mkdir()
        calls = FailingCalls(data, count, code)
        files = MatchFiles(data / "operations")
        with calls.active(monkeypatch):
            try:
                files.write("a", parts)
            except (OSError, SyncFailedError):
                failed.append(calls.failed)
        if calls.failed is None:
            break
        if failed[-1] != "fsync":  # that of the directory: either may be there, and the process ends
            assert list(data.glob("operations/*")) == []
        count += 1
    assert len(failed) == count, "none was passed over"
    assert {"open", "mkdir", "fsync", "rename"} <= set(failed)
    assert files.read("a", 1_999, 1) == [1_999]


def test_a_list_is_read_from_anywhere(tmp_path: Path) -> None:
    files = MatchFiles(tmp_path / "operations")
    parts = [number.to_bytes(8, "big") for number in range(5, 50_005)]
    assert files.write("a", parts) == 50_000
    assert files.write("b", []) == 0
    assert files.read("a", 0, 3) == [5, 6, 7]
    assert files.read("a", 49_999, 1) == [50_004]
    files.keep_only({"a"})
    assert [path.name for path in (tmp_path / "operations").iterdir()] == ["a.matches"]
    files.remove("a")
    files.remove("a")
    assert list((tmp_path / "operations").iterdir()) == []
