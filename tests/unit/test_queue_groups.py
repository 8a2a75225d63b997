"""Many tasks for about the same time: they become due as a whole, in the same order as one by one."""

import random
import time

from hypothesis import given
from hypothesis import strategies as st

from taskd.model import task as transitions
from taskd.model.task import Task, TaskDraft
from taskd.store.embedded.queue.work_queue import WorkQueue

NOW_MS = 1_000_000
CROWD = 200_000
STALL_MAX_S = 0.1
"""Ordering the crowd one by one takes about 0.2 s; moving it as a whole well under 0.01."""


def a_task(seq: int, start_ms: int, priority: int = 0) -> Task:
    return transitions.create(TaskDraft("f", b"{}", start_ms, priority), f"{seq:024x}", seq, NOW_MS)


Wait = st.sampled_from([-1, 0, 1, 2, 998, 999, 1000, 1001, 1002, 2500, 33_000, 1_100_000])
Specs = st.lists(
    st.tuples(Wait, st.integers(-1, 1), st.sampled_from(["alive", "alive", "dead", "requeued"])), max_size=40
)


@given(Specs, st.integers(1, 5), st.sampled_from([1, 2, 4]), st.booleans(), st.randoms())
def test_groups_come_out_as_sorting_would_have_it(
    specs: list[tuple[int, int, str]], limit: int, run_max: int, shuffled: bool, rng: random.Random
) -> None:
    gone: set[int] = set()
    queue = WorkQueue(lambda task: task.seq not in gone, run_max)
    tasks = [a_task(seq, NOW_MS + wait, priority) for seq, (wait, priority, _) in enumerate(specs)]
    for place, (wait, _, fate) in enumerate(specs):
        if fate == "requeued":
            started = transitions.start(tasks[place], NOW_MS)
            tasks[place] = transitions.requeue(started, NOW_MS, NOW_MS + wait + 700)
    order = list(tasks)
    if shuffled:
        rng.shuffle(order)
    for task in order:
        queue.push(task, NOW_MS)
    waiting = list(tasks)
    doomed = [seq for seq, (_, _, fate) in enumerate(specs) if fate == "dead"]
    for later_ms in (0, 1, 999, 1000, 1001, 1999, 9000, 33_000, 1_000_000, 1_200_000):
        now_ms = NOW_MS + later_ms
        if doomed:
            gone.add(doomed.pop())
            queue.forget()
            waiting = [task for task in waiting if task.seq not in gone]
        due = sorted(
            (task for task in waiting if task.due_ms <= now_ms),
            key=lambda task: (-task.priority, task.start_ms, task.seq),
        )[:limit]
        assert queue.pop_due(now_ms, limit) == due
        waiting = [task for task in waiting if task not in due]
        next_due_ms = queue.next_due_ms()
        earliest_ms = min((task.due_ms for task in waiting), default=None)
        assert (next_due_ms is None) == (earliest_ms is None)
        if next_due_ms is not None and earliest_ms is not None:
            assert (next_due_ms <= now_ms) == (earliest_ms <= now_ms)
            assert earliest_ms <= now_ms or next_due_ms <= earliest_ms, "it would be slept through"


def test_a_crowd_that_is_due_at_once_does_not_hold_up_the_loop() -> None:
    queue = WorkQueue(lambda task: True)
    for seq in range(CROWD):
        queue.push(a_task(seq, NOW_MS + 5_000 + seq % 1000, seq % 3), NOW_MS)
    longest_s = 0.0
    for now_ms in range(NOW_MS + 4_000, NOW_MS + 7_000, 100):
        began_s = time.perf_counter()
        queue.next_due_ms()
        queue.pop_due(now_ms, 64)
        longest_s = max(longest_s, time.perf_counter() - began_s)
    assert longest_s < STALL_MAX_S
    assert queue.due_count(NOW_MS + 7_000) == CROWD - 20 * 64
