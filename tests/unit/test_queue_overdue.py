"""Many tasks that fall due behind one's back: the order stays exact, and no single call takes long."""

import random
import time
from collections.abc import Callable

import pytest

from taskd.model import task as transitions
from taskd.model.task import Task, TaskDraft
from taskd.store.embedded.queue import work_queue as queues
from taskd.store.embedded.queue.sorted_runs import key_of
from taskd.store.embedded.queue.work_queue import WorkQueue

NOW_MS = 1_000_000_000
HOUR_MS = 3_600_000
CROWD = 60_000
STALL_MAX_S = 0.1
"""Ordering the crowd at once takes 0.15 s; one call should take a tenth of that, but the machine is shared."""


def a_task(seq: int, start_ms: int, priority: int = 0) -> Task:
    return transitions.create(TaskDraft("f", b"{}", start_ms, priority), f"{seq:024x}", seq, NOW_MS)


def spread_over(span_ms: int, count: int) -> list[Task]:
    rng = random.Random(7)
    return [a_task(seq, NOW_MS + rng.randrange(1, span_ms), rng.randrange(3)) for seq in range(count)]


def a_queue(tasks: list[Task], is_waiting: Callable[[Task], bool] = lambda _: True) -> WorkQueue:
    queue = WorkQueue(is_waiting)
    queue.due_count(NOW_MS)
    for task in tasks:
        queue.push(task, NOW_MS)
    return queue


def drained(queue: WorkQueue, now_ms: int, limit: int) -> tuple[list[Task], float]:
    """All due tasks as they came out, and how long the longest call took, in seconds."""
    came: list[Task] = []
    longest_s = 0.0
    while True:
        began_s = time.thread_time()
        taken = queue.pop_due(now_ms, limit)
        longest_s = max(longest_s, time.thread_time() - began_s)
        if not taken:
            return came, longest_s
        came += taken


@pytest.mark.parametrize("span_ms", [1_000, HOUR_MS, 30 * 24 * HOUR_MS])
def test_a_crowd_that_fell_due_while_the_daemon_was_away_comes_in_order_and_holds_up_nothing(span_ms: int) -> None:
    tasks = spread_over(span_ms, CROWD)
    came, longest_s = drained(a_queue(tasks), NOW_MS + span_ms, 256)
    assert came == sorted(tasks, key=key_of)
    assert longest_s < STALL_MAX_S


def test_a_call_that_would_have_to_order_too_much_gives_the_best_it_has_and_goes_on_the_next_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queues, "_ORDERED_AT_ONCE", 100)
    best_of_each = [a_task(minute, NOW_MS + minute * 60_000, priority=1) for minute in range(1, 60)]
    others = [a_task(1_000 + n, NOW_MS + n * 360 + 60_000) for n in range(9_000)]
    queue = a_queue([*others, *best_of_each])
    first = queue.pop_due(NOW_MS + HOUR_MS, 59)
    assert first == best_of_each[: len(first)]
    assert 0 < len(first) < 59
    came, _ = drained(queue, NOW_MS + HOUR_MS, 59)
    assert [*first, *came] == [*best_of_each, *others]


def test_a_task_that_comes_while_an_hour_of_overdue_ones_waits_takes_its_place_among_them() -> None:
    tasks = spread_over(HOUR_MS, 5_000)
    queue = a_queue(tasks)
    later_ms = NOW_MS + HOUR_MS
    came = queue.pop_due(later_ms, 10)
    urgent, late = a_task(9_000, later_ms, priority=9), a_task(9_001, later_ms, priority=-9)
    queue.push(late, later_ms)
    queue.push(urgent, later_ms)
    came += drained(queue, later_ms, 64)[0]
    in_order = sorted(tasks, key=key_of)
    assert came == [*in_order[:10], urgent, *in_order[10:], late]


def test_a_clock_that_is_set_back_hides_no_task_and_brings_none_early() -> None:
    queue = a_queue([])
    queue.due_count(NOW_MS + HOUR_MS)
    task = a_task(1, NOW_MS + 5_000)
    queue.push(task, NOW_MS)
    assert queue.pop_due(NOW_MS + 4_999, 9) == []
    assert queue.next_due_ms() == NOW_MS + 5_000
    assert queue.pop_due(NOW_MS + 5_000, 9) == [task]


def test_calling_off_most_of_a_crowd_sweeps_a_little_each_time() -> None:
    tasks = [*spread_over(HOUR_MS, CROWD), *(a_task(CROWD + n, NOW_MS) for n in range(CROWD // 2))]
    gone: set[int] = set()
    queue = a_queue(tasks, lambda task: task.seq not in gone)
    longest_s = 0.0
    for task in tasks[: CROWD * 9 // 10]:
        gone.add(task.seq)
        began_s = time.thread_time()
        queue.forget()
        longest_s = max(longest_s, time.thread_time() - began_s)
    assert longest_s < STALL_MAX_S / 4
    assert queue.due_count(NOW_MS + HOUR_MS) < len(tasks) - len(gone) + CROWD // 2
    came, _ = drained(queue, NOW_MS + HOUR_MS, 256)
    assert came == sorted((task for task in tasks if task.seq not in gone), key=key_of)
    assert queue.next_due_ms() is None
