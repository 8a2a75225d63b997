"""How much memory live tasks take is known: each as much as it says, and all together no more than they may."""

import asyncio
import gc
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.clocks import FakeClock
from support.store.views import memory_used

from taskd.model import task as transitions
from taskd.model.errors import TOO_MANY_REQUESTS, ContractError
from taskd.model.function import Function, RetryPolicy
from taskd.model.idempotency import IdempotencyKey
from taskd.model.objectid import ObjectIdFactory
from taskd.model.schedule import ScheduleDraft
from taskd.model.status import Status
from taskd.model.task import ErrorType, Task, TaskDraft, TaskError
from taskd.store.base import Completed, Outcome, Retried
from taskd.store.embedded.events import Added, decode_events, encode_events
from taskd.store.embedded.live_tasks import memory_of
from taskd.store.embedded.queue.work_queue import WorkQueue
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.state import LiveState
from taskd.store.embedded.store import EmbeddedStore

TASKS = 5_000
SHARE = 0.25
"""By how much of it the memory that is counted may differ from what is taken."""
LIMIT_MIB = 16
MIB = 1 << 20
FAR_MS = 10**12
ERROR = TaskError(ErrorType.RUNTIME, "E", "m")
FULL = [TaskDraft("f", b"x" * 1024, FAR_MS)] * 10_000
"""A batch that takes more than half of the limit."""


@pytest.mark.parametrize(
    ("data_bytes", "tags"),
    [(2, ()), (100, ()), (1000, ()), (20_000, ()), (100, ("a tag", "b" * 200)), (100, ("\u00e4\U0001f600" * 100,) * 3)],
    ids=["no data", "little data", "data", "data on the disk", "tags", "wide tags"],
)
def test_a_task_takes_as_much_memory_as_is_counted(data_bytes: int, tags: tuple[str, ...]) -> None:
    clock, new_id = FakeClock(), ObjectIdFactory(FakeClock())
    draft = TaskDraft("f", b"x" * data_bytes, FAR_MS, tags=tags)
    state = LiveState()
    queue = WorkQueue(lambda task: state.tasks.get(task.id) is task)
    gc.collect()
    tracemalloc.start()
    try:
        before_bytes = tracemalloc.get_traced_memory()[0]
        for begin in range(0, TASKS, 500):
            added = Added(tuple(transitions.create(draft, new_id(), begin + place, clock()) for place in range(500)))
            state.apply_all(decode_events(encode_events([added])))
        queue.load(state.tasks.values(), clock())
        added = Added(())
        gc.collect()
        taken_bytes = tracemalloc.get_traced_memory()[0] - before_bytes
    finally:
        tracemalloc.stop()
    assert state.tasks.memory_bytes == pytest.approx(taken_bytes, rel=SHARE)
    assert memory_of(draft) * TASKS == state.tasks.memory_bytes


async def a_store(data: Path, clock: FakeClock) -> EmbeddedStore:
    store = EmbeddedStore(StoreSettings(data=str(data), live_memory_mib=LIMIT_MIB), clock)
    await store.start()
    return store


async def fill(store: EmbeddedStore) -> list[str]:
    """Creates one batch after the other until one is refused; gives the ids of all."""
    ids: list[str] = []
    for size in (10_000, 1_000, 100, 10, 1):
        ids += await fill_by(store, FULL[:size])
    return ids


async def fill_by(store: EmbeddedStore, drafts: Sequence[TaskDraft]) -> list[str]:
    ids: list[str] = []
    while (tasks := await created(store, drafts)) is not None:
        ids += [task.id for task in tasks]
    return ids


async def created(store: EmbeddedStore, drafts: Sequence[TaskDraft]) -> list[Task] | None:
    """``None`` if there is no memory for them; anything else that is wrong is raised."""
    try:
        return await store.add(drafts)
    except ContractError as error:
        if error.kind is not TOO_MANY_REQUESTS or "[store] live_memory_mib" not in error.message:
            raise
        return None


async def assert_nothing_is_created(store: EmbeddedStore) -> None:
    draft = FULL[0]
    for creating in (store.add([draft]), store.add([draft], IdempotencyKey(b"k", b"r")), store.add_started(draft)):
        with pytest.raises(ContractError, match="live_memory_mib"):
            await creating


async def test_a_batch_that_would_take_more_than_may_be_is_refused_as_a_whole(tmp_path: Path) -> None:
    store = await a_store(tmp_path / "data", FakeClock())
    ids = await fill(store)
    used_bytes = await memory_used(store)
    assert LIMIT_MIB * MIB - memory_of(FULL[0]) < used_bytes <= LIMIT_MIB * MIB
    assert len(store._commits.state.tasks) == len(ids)
    await assert_nothing_is_created(store)
    await store.cancel(ids[0])
    assert len(await fill_by(store, FULL[:1])) == 1
    await store.stop()


async def test_many_batches_at_once_take_no_more_than_may_be(tmp_path: Path) -> None:
    store = await a_store(tmp_path / "data", FakeClock())
    batches = [store.add(FULL[:1_000]) for _ in range(20)]
    results = await asyncio.gather(*batches, return_exceptions=True)
    created = [result for result in results if isinstance(result, list)]
    assert 0 < len(created) < len(batches)
    assert await memory_used(store) == len(created) * 1_000 * memory_of(FULL[0])
    assert await memory_used(store) <= LIMIT_MIB * MIB
    await store.stop()


async def test_what_follows_from_tasks_that_exist_goes_on_in_a_full_store(tmp_path: Path) -> None:
    clock = FakeClock()
    store = await a_store(tmp_path / "data", clock)
    await store.put_function(Function("g", "i.h", "python3.11", 0, "v", retry_policy=RetryPolicy(enabled=True)), None)
    await store.add([TaskDraft("g", b"{}", clock()) for _ in range(3)])
    schedule = await store.add_schedule(ScheduleDraft("g", b"{}", 1_000, clock()))
    await fill(store)
    first, second, third = await store.claim(3)
    outcomes: list[Outcome] = [Retried(first.id, ERROR, TaskDraft("g", b"x" * 5_000, FAR_MS)), Completed(second.id)]
    assert [task.status for task in await store.settle(outcomes) if task] == [Status.RETRIED, Status.COMPLETE]
    assert [occurrence.task.schedule_id for occurrence in (await store.fire(1)).occurrences] == [schedule.id]
    await fill(store)
    await store.stop()
    store = await a_store(tmp_path / "data", clock)
    assert [task.id for task in await store.reap(10)] == [third.id]
    await store.stop()


async def test_a_store_that_is_fuller_than_it_may_be_starts_and_creates_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock()
    store = EmbeddedStore(StoreSettings(data=str(tmp_path / "data"), live_memory_mib=2 * LIMIT_MIB), clock)
    await store.start()
    ids = await fill(store)
    await store.stop()
    store = await a_store(tmp_path / "data", clock)
    assert "live_memory_mib" in caplog.text
    assert len(store._commits.state.tasks) == len(ids)
    await assert_nothing_is_created(store)
    clock.advance(FAR_MS)
    while await memory_used(store) > LIMIT_MIB * MIB / 2:
        await store.settle([Completed(task.id) for task in await store.claim(1_000)])
    assert len(await store.add(FULL[:10])) == 10
    await store.stop()
