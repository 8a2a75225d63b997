"""Log lines that are replaced by fuller ones: held to by every store."""

from collections.abc import Awaitable, Callable

import pytest

from taskd.model.logline import LogLine
from taskd.store.base import TaskStore

OpenStore = Callable[[], Awaitable[TaskStore]]
TASK, OTHER = "a" * 24, "b" * 24
TAIL = [LogLine(10, "second"), LogLine(10, "third")]
WHOLE = [LogLine(7, "first"), LogLine(8, "second"), LogLine(9, "third")]


@pytest.mark.parametrize("read_between", [True, False])
async def test_replaced_lines_are_gone_and_nobody_elses(store: TaskStore, read_between: bool) -> None:
    """Read in between, the first lines are in the catalogue; else all of it may be written at once."""
    await store.append_logs([(TASK, TAIL), (OTHER, TAIL)])
    if read_between:
        assert await store.find_logs(TASK, 0, 0, 9) == TAIL
    await store.replace_logs(TASK, WHOLE)
    assert await store.find_logs(TASK, 0, 0, 9) == WHOLE
    assert await store.find_logs(OTHER, 0, 0, 9) == TAIL


async def test_what_is_appended_after_a_replacement_stays(open_store: OpenStore) -> None:
    store = await open_store()
    await store.append_logs([(TASK, TAIL)])
    await store.replace_logs(TASK, WHOLE)
    await store.append_logs([(TASK, TAIL)])
    await store.replace_logs(OTHER, WHOLE)
    assert await store.find_logs(TASK, 0, 0, 9) == WHOLE + TAIL
    store = await open_store()
    assert await store.find_logs(TASK, 0, 0, 9) == WHOLE + TAIL
    assert await store.find_logs(OTHER, 0, 0, 9) == WHOLE


async def test_lines_replaced_by_none_leave_none(store: TaskStore) -> None:
    await store.append_logs([(TASK, TAIL)])
    await store.replace_logs(TASK, [])
    assert await store.find_logs(TASK, 0, 0, 9) == []
