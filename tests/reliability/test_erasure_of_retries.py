"""An erasure while one of its tasks fails: what it is tried again as goes, too, whenever that comes to be."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from support.clocks import FakeClock

from taskd.model.operation import OperationAction, OperationDraft
from taskd.model.task import ErrorType, TaskDraft, TaskError
from taskd.rql.parser import parse, parse_filter
from taskd.store.base import Retried
from taskd.store.embedded.operation_actions import CancelAction, EraseAction, Turn
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore

HERS = b'{"patientId":"ada"}'
ERROR = TaskError(ErrorType.RUNTIME, "E", "m")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[EmbeddedStore]:
    store = EmbeddedStore(StoreSettings(data=str(tmp_path)), FakeClock())
    await store.start()
    yield store
    await store.stop()


class AfterAFailure(CancelAction):
    """Cancels when a task has just failed: after the erasure has looked for what it is about."""

    def __init__(self, cancel: CancelAction, store: EmbeddedStore, task_id: str) -> None:
        self._cancel, self._store, self._task_id = cancel, store, task_id

    async def turn_of(self, ids: Sequence[str], count: int) -> Turn:
        if task_id := self._task_id:
            self._task_id = ""
            retry = TaskDraft("f", HERS, 0, retry_for_task_ids=(task_id,))
            await self._store.settle([Retried(task_id, ERROR, retry)])
        return await self._cancel.turn_of(ids, count)


async def test_a_task_that_fails_while_it_is_erased_leaves_no_retry(store: EmbeddedStore) -> None:
    where = parse_filter("data.patientId=ada")
    assert where is not None
    [task] = await store.add([TaskDraft("f", HERS, 0)])
    await store.claim(1)
    operation = await store.add_operation(OperationDraft(OperationAction.ERASE, "data.patientId=ada"), where)
    action = store._operations._actions[OperationAction.ERASE]
    assert isinstance(action, EraseAction)
    action._cancel = AfterAFailure(action._cancel, store, task.id)
    while await store.advance_operations(10):
        pass
    assert (await store.operation(operation.id)).status == "done"
    assert (await store.find(parse(""))).rows == []
    assert await store.claim(1) == []
