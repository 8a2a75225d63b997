"""Tasks that are erased, with whatever names them: held to by every store."""

import pytest
from conformance.test_store import ERROR, bring_to
from support.clocks import FakeClock

from taskd.model.errors import RESOURCE_UNKNOWN, ContractError
from taskd.model.idempotency import IdempotencyKey
from taskd.model.status import FINAL, Status
from taskd.model.task import Task, TaskDraft
from taskd.model.task_extras import TaskExtras
from taskd.rql.parser import parse
from taskd.store.base import Completed, Retried, TaskStore

NO_TASK = "0" * 24


async def a_chain(store: TaskStore) -> tuple[Task, Task]:
    """A task that failed and its second try, which waits."""
    first = await store.add_started(TaskDraft("f", b"{}", 0))
    again = TaskDraft("f", b"{}", 0, retry_for_task_ids=(first.id,), extras=TaskExtras(replay_of_task_id=first.id))
    await store.settle([Retried(first.id, ERROR, again)])
    [second] = (await store.find(parse("status=new"))).rows
    return first, second


@pytest.mark.parametrize("status", Status)
async def test_what_has_ended_is_erased_and_nothing_else(store: TaskStore, clock: FakeClock, status: Status) -> None:
    task = await bring_to(store, clock, status)
    assert await store.erase_tasks([task.id]) == (status in FINAL)
    assert (await store.find(parse(f"id={task.id}"))).total == (status not in FINAL)
    await store.purge()


async def test_a_task_that_waits_names_what_was_erased_no_longer_and_runs_as_often(store: TaskStore) -> None:
    first, second = await a_chain(store)
    assert await store.erase_tasks([first.id]) == 1
    await store.purge()
    for task in (await store.get(second.id), (await store.find(parse("status=new"))).rows[0]):
        assert task.retry_for_task_ids == (NO_TASK,)
        assert task.extras is not None
        assert task.extras.replay_of_task_id == NO_TASK
    assert [task.id for task in await store.claim(9)] == [second.id]
    assert await store.claim(9) == []
    [settled] = await store.settle([Completed(second.id)])
    assert settled is not None
    assert (await store.get(second.id)).retry_for_task_ids == (NO_TASK,)


async def test_a_task_that_has_ended_names_what_was_erased_no_longer(store: TaskStore) -> None:
    first, second = await a_chain(store)
    await store.claim(9)
    await store.settle([Completed(second.id)])
    assert await store.erase_tasks([second.id]) == 1
    assert (await store.get(first.id)).retried_by_task_id == NO_TASK
    assert await store.erase_tasks([second.id, second.id, "f" * 24]) == 0


async def test_a_key_still_stands_for_its_request_and_no_longer_knows_it(store: TaskStore) -> None:
    drafts = [TaskDraft("f", b"{}", 0) for _ in range(3)]
    await store.add(drafts, IdempotencyKey(b"a", b"request"))
    tasks = await store.add(drafts, IdempotencyKey(b"b", b"request"))
    await store.cancel(tasks[1].id)
    await store.erase_tasks([tasks[1].id])
    for fingerprint in (b"request", b"another"):
        with pytest.raises(ContractError) as caught:
            await store.add(drafts, IdempotencyKey(b"b", fingerprint))
        assert caught.value.kind is RESOURCE_UNKNOWN
    assert len(await store.add(drafts, IdempotencyKey(b"a", b"request"))) == 3


async def test_purging_a_store_with_nothing_in_it_does_no_harm(store: TaskStore) -> None:
    for _ in range(2):
        await store.purge()
    assert (await store.find(parse(""))).total == 0
