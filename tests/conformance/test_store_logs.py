"""Log lines that are replaced by fuller ones: held to by every store."""

from collections.abc import Awaitable, Callable

import pytest

from taskd.model.logline import LogLine
from taskd.model.task import TaskDraft
from taskd.store.base import Completed, TaskStore

OpenStore = Callable[[], Awaitable[TaskStore]]
TASK, OTHER = "a" * 24, "b" * 24
TAIL = [LogLine(10, "second"), LogLine(10, "third")]
WHOLE = [LogLine(7, "first"), LogLine(8, "second"), LogLine(9, "third")]


@pytest.mark.parametrize("read_between", [True, False])
async def test_replaced_lines_are_gone_and_nobody_elses(store: TaskStore, read_between: bool) -> None:
    """Read in between, the first lines are in the catalogue; else all of it may be written at once."""
    await store.replace_logs(TASK, TAIL)
    await store.replace_logs(OTHER, TAIL)
    if read_between:
        assert await store.find_logs(TASK, 0, 0, 9) == TAIL
    await store.replace_logs(TASK, WHOLE)
    assert await store.find_logs(TASK, 0, 0, 9) == WHOLE
    assert await store.find_logs(OTHER, 0, 0, 9) == TAIL


async def test_what_is_appended_after_a_replacement_stays(open_store: OpenStore) -> None:
    store = await open_store()
    task = await store.add_started(TaskDraft("f", b"{}", 0))
    await store.replace_logs(task.id, TAIL)
    await store.replace_logs(task.id, WHOLE)
    await store.settle([Completed(task.id, tuple(TAIL))])
    await store.replace_logs(OTHER, WHOLE)
    assert await store.find_logs(task.id, 0, 0, 9) == WHOLE + TAIL
    store = await open_store()
    assert await store.find_logs(task.id, 0, 0, 9) == WHOLE + TAIL
    assert await store.find_logs(OTHER, 0, 0, 9) == WHOLE


async def test_lines_replaced_by_none_leave_none(store: TaskStore) -> None:
    await store.replace_logs(TASK, TAIL)
    await store.replace_logs(TASK, [])
    assert await store.find_logs(TASK, 0, 0, 9) == []
