"""Log lines that are replaced by fuller ones: held to by every store."""

from collections.abc import Awaitable, Callable

import pytest

from taskd.model.logline import LogLine
from taskd.model.task import TaskDraft
from taskd.store.base import Completed, TaskStore

OpenStore = Callable[[], Awaitable[TaskStore]]
TAIL = [LogLine(10, "second"), LogLine(10, "third")]
WHOLE = [LogLine(7, "first"), LogLine(8, "second"), LogLine(9, "third")]


async def two_ids(store: TaskStore) -> tuple[str, str]:
    task, other = await store.add([TaskDraft("f", b"{}", 0), TaskDraft("f", b"{}", 0)])
    return task.id, other.id


@pytest.mark.parametrize("read_between", [True, False])
async def test_replaced_lines_are_gone_and_nobody_elses(store: TaskStore, read_between: bool) -> None:
    """Read in between, the first lines are in the catalogue; else all of it may be written at once."""
    task_id, other_id = await two_ids(store)
    await store.replace_logs(task_id, TAIL)
    await store.replace_logs(other_id, TAIL)
    if read_between:
        assert await store.find_logs(task_id, 0, 0, 9) == TAIL
    await store.replace_logs(task_id, WHOLE)
    assert await store.find_logs(task_id, 0, 0, 9) == WHOLE
    assert await store.find_logs(other_id, 0, 0, 9) == TAIL


async def test_what_is_appended_after_a_replacement_stays(open_store: OpenStore) -> None:
    store = await open_store()
    task = await store.add_started(TaskDraft("f", b"{}", 0))
    _, other_id = await two_ids(store)
    await store.replace_logs(task.id, TAIL)
    await store.replace_logs(task.id, WHOLE)
    await store.settle([Completed(task.id, tuple(TAIL))])
    await store.replace_logs(other_id, WHOLE)
    assert await store.find_logs(task.id, 0, 0, 9) == WHOLE + TAIL
    store = await open_store()
    assert await store.find_logs(task.id, 0, 0, 9) == WHOLE + TAIL
    assert await store.find_logs(other_id, 0, 0, 9) == WHOLE


async def test_lines_replaced_by_none_leave_none(store: TaskStore) -> None:
    task_id, _ = await two_ids(store)
    await store.replace_logs(task_id, TAIL)
    await store.replace_logs(task_id, [])
    assert await store.find_logs(task_id, 0, 0, 9) == []
