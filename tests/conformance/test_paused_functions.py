"""Paused functions, on every store: known by name over restarts, and their tasks in nobody's way."""

from collections.abc import Awaitable, Callable

from msgspec.structs import replace
from support.clocks import FakeClock

from taskd.model.function import Function
from taskd.model.task import TaskDraft
from taskd.store.base import TaskStore

OpenStore = Callable[[], Awaitable[TaskStore]]
FUNCTION = Function("paused", "index.handler", "python3.11", 1, "v1")


async def put(store: TaskStore, function: Function) -> None:
    await store.put_function(function, store.function(function.name))


async def claimed(store: TaskStore) -> list[str]:
    return [task.function_name for task in await store.claim(10, store.paused_functions())]


async def test_tasks_of_a_paused_function_wait_over_restarts_while_others_run(
    open_store: OpenStore, clock: FakeClock
) -> None:
    store = await open_store()
    await put(store, replace(FUNCTION, paused=True, pause_reason="why"))
    await put(store, replace(FUNCTION, name="other"))
    drafts = [TaskDraft(name, b"{}", clock(), priority) for name, priority in (("paused", 9), ("other", 0), ("x", 0))]
    await store.add(drafts)
    assert list(store.paused_functions()) == ["paused"]
    assert await claimed(store) == ["other", "x"]
    store = await open_store()
    function = store.function("paused")
    assert function is not None
    assert (function.paused, function.pause_reason) == (True, "why")
    assert await claimed(store) == []
    await put(store, FUNCTION)
    assert list(store.paused_functions()) == []
    assert await claimed(store) == ["paused"]


async def test_a_removed_function_is_paused_no_more(store: TaskStore) -> None:
    await put(store, replace(FUNCTION, paused=True))
    await store.remove_function("paused")
    assert list(store.paused_functions()) == []
    await put(store, FUNCTION)
    assert list(store.paused_functions()) == []
