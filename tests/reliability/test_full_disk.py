"""A disk that is really full: what was accepted goes on to its end, no more is accepted, and it heals by itself."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.disk.full_disk import fill
from support.store.views import in_progress, trouble

from taskd.model.status import Status
from taskd.model.task import ErrorType, TaskDraft, TaskError
from taskd.rql.parser import parse
from taskd.store.base import Completed, Failed, Retried, StoreUnavailableError
from taskd.store.embedded import settlement
from taskd.store.embedded.errors import StoreError
from taskd.store.embedded.journal import writer
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore

ERROR = TaskError(ErrorType.RUNTIME, "E", "it went wrong")
RECOVERY_TIMEOUT_S = 10
ANSWERS_WITHIN_S = 3


def a_draft(size_bytes: int = 10) -> TaskDraft:
    return TaskDraft("f", b'"' + b"x" * size_bytes + b'"', 0)


@asynccontextmanager
async def opened(disk: Path) -> AsyncIterator[EmbeddedStore]:
    fatal: list[BaseException] = []
    settings = StoreSettings(data=str(disk / "data"), listing_time_limit_s=1.0)
    store = EmbeddedStore(settings, on_fatal=fatal.append)
    await store.start()
    yield store
    await store.stop()
    assert not fatal


async def healthy(store: EmbeddedStore) -> None:
    async with asyncio.timeout(RECOVERY_TIMEOUT_S):
        while await trouble(store) is not None:
            await asyncio.sleep(0.05)


async def test_on_a_full_disk_running_tasks_end_and_nothing_new_is_accepted(small_disk: Path) -> None:
    async with opened(small_disk) as store:
        await store.add([a_draft() for _ in range(300)])
        running = await store.claim(300)
        waiting = (await store.add([a_draft()]))[0]
        filler = fill(small_disk)
        with pytest.raises(StoreUnavailableError, match="No space left on device"):
            await asyncio.gather(*(store.add([a_draft(10_000)]) for _ in range(100)))
        assert "No space left" in (await trouble(store) or "")
        with pytest.raises(StoreUnavailableError):
            await store.cancel(waiting.id)
        async with asyncio.timeout(ANSWERS_WITHIN_S):
            ended = await store.settle([Completed(task.id) for task in running[:100]])
            ended += await store.settle([Failed(task.id, ERROR) for task in running[100:200]])
            successors = [Retried(task.id, ERROR, a_draft()) for task in running[200:]]
            ended += await store.settle(successors)
        assert [task.status for task in ended[::100] if task is not None] == [
            Status.COMPLETE,
            Status.FAILED,
            Status.RETRIED,
        ]
        filler.unlink()
        await healthy(store)
        await store.add([a_draft()])
        page = await store.find(parse("in(status,complete,failed,retried)"))
        assert page.total == 300
        total = (await store.find(parse(""))).total
    async with opened(small_disk) as store:
        assert (await store.find(parse(""))).total == total
        assert (await store.get(waiting.id)).status is Status.NEW
        assert not await in_progress(store)


async def test_a_listing_that_cannot_be_brought_up_to_date_says_so_instead_of_hanging(small_disk: Path) -> None:
    long_error = TaskError(ErrorType.RUNTIME, "E", "m" * 15_000)
    async with opened(small_disk) as store:
        await store.add([a_draft() for _ in range(400)])
        running = await store.claim(400)
        await store.find(parse(""))
        fill(small_disk)
        await store.settle([Failed(task.id, long_error) for task in running[:60]])
        fill(small_disk)
        settling = asyncio.create_task(store.settle([Failed(task.id, long_error) for task in running[60:]]))
        async with asyncio.timeout(ANSWERS_WITHIN_S):
            with pytest.raises(StoreUnavailableError, match="catalogue"):
                await store.find(parse(""))
        assert await trouble(store) is not None
        fill(small_disk).unlink()
        await settling
        await healthy(store)
        assert (await store.find(parse("status=failed"))).total == 400


async def test_an_outcome_that_waits_for_the_disk_is_the_only_one_of_its_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[int] = []
    monkeypatch.setattr(settlement, "_TRY_AGAIN_S", 0.01)
    async with opened(tmp_path) as store:
        [task] = await store.add([a_draft()])
        await store.claim(1)
        with monkeypatch.context() as disk:
            disk.setattr(writer, "write_all", lambda fd, data, offset: refuse(writes))
            waiting = asyncio.create_task(store.settle([Completed(task.id)]))
            async with asyncio.timeout(ANSWERS_WITHIN_S):
                while len(writes) < 10:
                    await asyncio.sleep(0)
                    assert await store.settle([Failed(task.id, ERROR)]) == [None]
        [ended] = await waiting
        assert ended is not None
        assert ended.status is Status.COMPLETE


def refuse(writes: list[int]) -> None:
    writes.append(errno.ENOSPC)
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def test_a_start_on_a_full_disk_lives_on_the_space_that_the_last_process_set_aside(small_disk: Path) -> None:
    async with opened(small_disk) as store:
        [running, waiting] = await store.add([a_draft(), a_draft()])
        assert await store.claim(1)
    filler = fill(small_disk)
    async with opened(small_disk) as store:
        assert [task.id for task in await store.reap(10)] == [running.id]
        with pytest.raises(StoreUnavailableError):
            await store.add([a_draft()])
        filler.unlink()
        await healthy(store)
        await store.add([a_draft()])
        assert (await store.find(parse("status=failed"))).total == 1
        assert (await store.get(waiting.id)).status is Status.NEW


async def test_a_start_without_any_space_names_what_to_look_at(small_disk: Path) -> None:
    (small_disk / "data").mkdir()
    filler = fill(small_disk)
    with pytest.raises(StoreError, match="free space"):
        async with opened(small_disk):
            pass
    filler.unlink()
    async with opened(small_disk) as store:
        await store.add([a_draft()])
