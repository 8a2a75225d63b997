"""Every system call of keeping a function's code fails once, with every error that a disk or a limit gives.

Whatever fails: the deployment is refused for now or has worked, nothing is half there, the version before goes on
running, and trying again works.
"""

import errno
import io
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.disk.failing_calls import TREE_CALLS, FailingCalls
from support.disk.full_disk import fill
from support.functions.local_runtime import LocalRuntimeHarness, eventually, local_harness, open_descriptors
from support.functions.zips import function, unix_entry
from support.http.error_shape import assert_error
from support.http.service import BASE, function_body, http_service

from taskd.model.errors import UNAVAILABLE, ContractError, TaskdError
from taskd.model.function import Function

CODES = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EMFILE, errno.ENOMEM)


def code_of(number: int | str) -> bytes:
    """A zip with folders and a link, whose function returns ``number``."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("index.py", f"def handler(event, context): return {number}")
        archive.writestr("lib/deep/x.txt", "x")
        archive.writestr(unix_entry("lib/y.txt", stat.S_IFLNK | 0o777), "deep/x.txt")
    return buffer.getvalue()


ONE, TWO = code_of(1), code_of(2)


def every_failure(root: Path, count: int) -> Iterator[FailingCalls]:
    """One after the other: each of ``count`` calls fails with each error."""
    for code in CODES:
        for fail_at in range(count):
            yield FailingCalls(root, fail_at, code, TREE_CALLS)


async def readied(harness: LocalRuntimeHarness, calls: FailingCalls, monkeypatch: pytest.MonkeyPatch) -> Function:
    """The second version, readied while ``calls`` fail."""
    with calls.active(monkeypatch):
        return await harness.runtime.prepare(function(), TWO)


async def refusal(
    harness: LocalRuntimeHarness, calls: FailingCalls, monkeypatch: pytest.MonkeyPatch
) -> ContractError | None:
    """What a failing call makes of readying; ``None`` if it does not matter.

    It does not where a folder is made that is there already, or one is looked for that was moved away.
    """
    try:
        await check_second(harness, await readied(harness, calls, monkeypatch))
    except ContractError as error:
        return error
    assert calls.failed in ("mkdir", "open")
    return None


async def check_second(harness: LocalRuntimeHarness, prepared: Function) -> None:
    """It is whole; then it is removed again."""
    folder = harness.directory / "probe" / prepared.code_version
    assert [(folder / file).read_text() for file in ("lib/deep/x.txt", "lib/y.txt")] == ["x", "x"]
    await harness.runtime.discard(prepared)
    await eventually(lambda: not harness.removing())


async def check_readying(
    harness: LocalRuntimeHarness, first: Function, calls: FailingCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = await refusal(harness, calls, monkeypatch)
    assert error is None or (error.kind is UNAVAILABLE and "again" in error.message)
    assert await harness.value() == 1
    assert harness.versions() == [first.code_version]
    await check_second(harness, await harness.runtime.prepare(function(), TWO))


async def test_any_call_of_readying_a_functions_code_may_fail_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with local_harness(tmp_path) as harness:
        first = await harness.deploy(ONE)
        counting = FailingCalls(tmp_path, names=TREE_CALLS)
        await check_second(harness, await readied(harness, counting, monkeypatch))
        assert counting.count > 20
        assert await harness.value() == 1
        before = open_descriptors()
        for calls in every_failure(tmp_path, counting.count):
            try:
                await check_readying(harness, first, calls, monkeypatch)
            except Exception as error:
                raise AssertionError(f"after {calls.failed} failed") from error
        await eventually(lambda: open_descriptors() <= before)
        await harness.deploy(TWO)
        assert await harness.value() == 2


async def remove_second(harness: LocalRuntimeHarness, calls: FailingCalls, monkeypatch: pytest.MonkeyPatch) -> Function:
    prepared = await harness.runtime.prepare(function(), TWO)
    with calls.active(monkeypatch):
        await harness.runtime.discard(prepared)
        await eventually(lambda: not harness.removing())
    return prepared


async def test_any_call_of_removing_a_functions_code_may_fail_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with local_harness(tmp_path) as harness:
        await harness.deploy(ONE)
        counting = FailingCalls(tmp_path, names=TREE_CALLS)
        await remove_second(harness, counting, monkeypatch)
        for calls in every_failure(tmp_path, counting.count):
            second = await remove_second(harness, calls, monkeypatch)
            assert await harness.value() == 1
            if second.code_version in harness.versions():
                assert "stays until the next start" in caplog.text
            caplog.clear()
        second = await harness.deploy(TWO)
        assert await harness.value() == 2
    async with local_harness(tmp_path, [second]) as harness:
        assert harness.versions() == [second.code_version]
        assert harness.scratch() == []


async def test_a_deployment_that_the_disk_does_not_take_is_answered_with_503_and_may_be_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with http_service(tmp_path) as service:
        calls = FailingCalls(tmp_path / "functions", 5, errno.EIO, TREE_CALLS)
        with calls.active(monkeypatch):
            async with service.client.post(f"{BASE}/functions", json=function_body()) as response:
                await assert_error(response, 1503)
                assert response.headers["Retry-After"]
        assert calls.failed
        assert service.store.functions() == []
        assert [path.name for path in (tmp_path / "functions").iterdir() if path.name == "hello"] == []
        async with service.client.post(f"{BASE}/functions", json=function_body()) as response:
            assert response.status == 200


async def test_a_start_on_a_full_disk_needs_no_space_for_functions_that_are_there(small_disk: Path) -> None:
    async with local_harness(small_disk / "functions", max_sandboxes=1) as harness:
        first = await harness.deploy(ONE)
    filler = fill(small_disk)
    async with local_harness(small_disk / "functions", [first]) as harness:
        assert harness.versions() == [first.code_version]
        with pytest.raises(ContractError, match="no room"):
            await harness.runtime.prepare(function(), code_of("9" * 20_000))
        filler.unlink()
        assert await harness.value() == 1


async def test_a_start_that_the_disk_does_not_let_happen_says_what_to_look_at(tmp_path: Path) -> None:
    (tmp_path / "functions").write_text("a file in the way")
    with pytest.raises(TaskdError, match="permissions"):
        async with local_harness(tmp_path / "functions"):
            pass
