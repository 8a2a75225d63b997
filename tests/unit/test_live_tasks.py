"""The tasks that wait or run: a dict in small pieces, which never stops everything to grow."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskd.model import task as transitions
from taskd.model.task import Task, TaskDraft
from taskd.store.embedded.live_tasks import LiveTasks

CROWD = 800_000
"""One dict outgrows its table at 699,050."""
AT_ONCE = 500
STALL_MAX_S = 0.01


def a_task(seq: int, second: int = 0) -> Task:
    return transitions.create(TaskDraft("f", b"{}", 0), f"{second:08x}{seq:016x}", seq, 0)


Steps = st.lists(st.tuples(st.sampled_from(["put", "remove"]), st.integers(0, 9), st.integers(0, 40)), max_size=60)


@given(Steps)
def test_it_is_like_a_dict_whatever_is_put_and_removed(steps: list[tuple[str, int, int]]) -> None:
    live, model = LiveTasks(), dict[str, Task]()
    for step, seq, second in steps:
        task = a_task(seq, second)
        if step == "put":
            live.put([task])
            model[task.id] = task
        elif task.id in model:
            live.remove(task.id)
            del model[task.id]
        assert (live.get(task.id), task.id in live, len(live)) == (model.get(task.id), task.id in model, len(model))
    assert set(live) == set(model)
    assert {task.id: live[task.id] for task in live.values()} == model
    assert {task.id: task for task in live.take_all()} == model
    assert len(live) == 0


@pytest.mark.parametrize("task_id", ["", "f" * 24, f"{0:08x}{7:016x}"])
def test_a_task_that_is_not_there_is_said_to_be_missing(task_id: str) -> None:
    live = LiveTasks()
    live.put([a_task(1)])
    assert live.get(task_id) is None
    assert task_id not in live
    with pytest.raises(KeyError):
        live[task_id]
    with pytest.raises(KeyError):
        live.remove(task_id)
    assert len(live) == 1


def test_tasks_that_were_created_together_come_in_their_order() -> None:
    live = LiveTasks()
    tasks = [a_task(seq, second=seq // 300) for seq in range(4_000)]
    live.put(tasks)
    live.put([tasks[5]])
    assert list(live.values()) == tasks
    assert list(live.take_all()) == tasks


@pytest.mark.parametrize("per_s", [10, 20_000])
def test_growing_to_many_tasks_stops_everything_at_no_moment(per_s: int) -> None:
    live = LiveTasks()
    longest_s = 0.0
    for begin in range(0, CROWD, AT_ONCE):
        crowd = [a_task(seq, second=seq // per_s) for seq in range(begin, begin + AT_ONCE)]
        began_s = time.thread_time()
        live.put(crowd)
        longest_s = max(longest_s, time.thread_time() - began_s)
    assert len(live) == CROWD
    assert longest_s < STALL_MAX_S
