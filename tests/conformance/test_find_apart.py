"""Pages that leave long data out, and the reading of it: held to by every store."""

import pytest

from taskd.model.errors import RESOURCE_UNKNOWN, ContractError
from taskd.model.limits import LOG_PAGE_MAX_BYTES
from taskd.model.logline import LogLine
from taskd.model.task import TaskDraft
from taskd.rql.parser import parse
from taskd.store.base import TaskStore

LONG = b'{"text":"' + "é€😀".encode() * 1_000 + b'"}'
FROM_BYTES = 100


async def test_long_data_is_apart_and_all_else_is_there(store: TaskStore) -> None:
    short, long, exact = await store.add(
        [
            TaskDraft("f", b"{}", 0, tags=("a",)),
            TaskDraft("f", LONG, 0, tags=("b",)),
            TaskDraft("f", b'{"a":"%b"}' % (b"x" * (FROM_BYTES - 8)), 0),
        ]
    )
    page = await store.find(parse("sort(creationTimestamp)"), apart_from_bytes=FROM_BYTES)
    assert page.apart == {1: len(LONG), 2: FROM_BYTES}
    assert [(task.id, task.tags) for task in page.rows] == [(short.id, ("a",)), (long.id, ("b",)), (exact.id, ())]
    assert [task.data for task in page.rows] == [b"{}", b"", b""]
    assert page.total == 3


async def test_a_page_without_long_data_has_none_apart(store: TaskStore) -> None:
    added = await store.add([TaskDraft("f", LONG, 0)])
    page = await store.find(parse(""), apart_from_bytes=len(LONG) + 1)
    assert (page.rows, page.apart) == (added, {})
    assert (await store.find(parse(""))).apart == {}


@pytest.mark.parametrize("size_bytes", [1_000, len(LONG), 2 * len(LONG)])
async def test_data_is_read_part_by_part_as_it_was_given(store: TaskStore, size_bytes: int) -> None:
    _, task = await store.add([TaskDraft("f", b"{}", 0), TaskDraft("f", LONG, 0)])
    parts = [await store.read_data(task.id, begin, size_bytes) for begin in range(0, len(LONG) + 1, size_bytes)]
    assert b"".join(parts) == LONG
    assert all(len(part) <= size_bytes for part in parts)
    assert await store.read_data(task.id, 2 * len(LONG), size_bytes) == b""


async def test_data_of_an_unknown_task_cannot_be_read(store: TaskStore) -> None:
    with pytest.raises(ContractError) as caught:
        await store.read_data("f" * 24, 0, 10)
    assert caught.value.kind is RESOURCE_UNKNOWN


async def test_log_lines_end_with_the_one_that_makes_them_too_long(store: TaskStore) -> None:
    [task] = await store.add([TaskDraft("f", b"{}", 0)])
    lines = [LogLine(number, "é" * (LOG_PAGE_MAX_BYTES // 8)) for number in range(6)]
    await store.replace_logs(task.id, lines)
    assert await store.find_logs(task.id, 0, 0, 100) == lines[:4]
    assert await store.find_logs(task.id, 0, 4, 100) == lines[4:]


async def test_lines_of_a_function_end_alike(store: TaskStore) -> None:
    task = await store.add_started(TaskDraft("f", b"{}", 0))
    lines = [LogLine(number, "x" * (LOG_PAGE_MAX_BYTES // 2)) for number in range(3)]
    await store.replace_logs(task.id, lines)
    assert await store.find_function_logs("f", 0, 9, 0, 100) == lines[:2]
