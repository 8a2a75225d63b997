"""Webhooks on a full disk: tasks end as ever, and what was to be told of them is told once, when there is room."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest
from support.clocks import FakeClock
from support.disk.full_disk import fill
from support.store.views import trouble

from taskd.model.delivery import Attempt
from taskd.model.task import TaskDraft
from taskd.model.webhook import WebhookDraft, WebhookSecret
from taskd.rql.parser import parse
from taskd.store.base import Completed, StoreUnavailableError
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore

DRAFT = WebhookDraft("https://example.com", ("task.complete",), (WebhookSecret("whsec_"),))


async def opened(disk: Path, clock: FakeClock, fatal: list[BaseException]) -> EmbeddedStore:
    store = EmbeddedStore(StoreSettings(data=str(disk / "data")), clock, fatal.append)
    await store.start()
    return store


async def noticed(store: EmbeddedStore, clock: FakeClock) -> None:
    """Creates until there is no room for more."""
    while await trouble(store) is None:
        with suppress(StoreUnavailableError):
            await store.add([TaskDraft("f", b'{"x": "%b"}' % (b"x" * 100_000), clock())])


async def test_ends_settle_and_are_told_once_there_is_room(small_disk: Path) -> None:
    clock, fatal = FakeClock(), list[BaseException]()
    store = await opened(small_disk, clock, fatal)
    webhook = await store.add_webhook(DRAFT)
    await store.add([TaskDraft("f", b"{}", clock()) for _ in range(20)])
    tasks = await store.claim(20)
    await store.settle([Completed(tasks[0].id)])
    await store.fan_out(10)
    [begun] = await store.begin_deliveries(webhook.id, 1)
    filler = fill(small_disk)
    await noticed(store, clock)
    settled = await store.settle([Completed(task.id) for task in tasks[1:]])
    assert [task is not None and task.status for task in settled] == ["complete"] * 19
    with pytest.raises(StoreUnavailableError):
        await store.fan_out(100)
    with pytest.raises(StoreUnavailableError):
        await store.settle_deliveries([Attempt(begun.id, clock(), 200)])
    assert await store.begin_deliveries(webhook.id, 10) == []  # it is not attempted again meanwhile
    filler.unlink()
    async with asyncio.timeout(10):
        while await trouble(store) is not None:
            await asyncio.sleep(0.05)
    [done] = await store.settle_deliveries([Attempt(begun.id, clock(), 200)])
    assert done is not None
    assert done.attempts == 1
    await store.stop()
    store = await opened(small_disk, clock, fatal)
    assert (await store.fan_out(100)).deliveries == 19
    assert (await store.fan_out(100)).events == 0
    found = (await store.find_deliveries(webhook.id, parse("limit(100)"))).rows
    assert sorted(each.subject_id for each in found) == sorted(task.id for task in tasks)
    await store.stop()
    assert not fatal
