"""The order of work: due before future, then priority, start, creation."""

from hypothesis import given
from hypothesis import strategies as st

from taskd.model import task as transitions
from taskd.model.task import Task, TaskDraft
from taskd.store.embedded.queue.work_queue import WorkQueue

NOW_MS = 1_000_000


def a_task(seq: int, start_ms: int = NOW_MS, priority: int = 0, function_name: str = "f") -> Task:
    draft = TaskDraft(function_name=function_name, data=b"{}", start_ms=start_ms, priority=priority)
    return transitions.create(draft, f"{seq:024x}", seq, NOW_MS)


def a_queue(*tasks: Task) -> WorkQueue:
    queue = WorkQueue(lambda task: True)
    for task in tasks:
        queue.push(task, NOW_MS)
    return queue


def seqs(tasks: list[Task]) -> list[int]:
    return [task.seq for task in tasks]


def test_the_highest_priority_goes_first() -> None:
    queue = a_queue(a_task(1, priority=0), a_task(2, priority=5), a_task(3, priority=-5))
    assert seqs(queue.pop_due(NOW_MS, 9)) == [2, 1, 3]


def test_equal_priorities_go_by_start_then_by_creation() -> None:
    queue = a_queue(a_task(1, NOW_MS), a_task(2, NOW_MS - 5), a_task(3, NOW_MS), a_task(4, NOW_MS - 5))
    assert seqs(queue.pop_due(NOW_MS, 9)) == [2, 4, 1, 3]


def test_a_future_task_does_not_hold_up_a_due_one_whatever_its_priority() -> None:
    queue = a_queue(a_task(1, NOW_MS + 1, priority=9_007_199_254_740_991), a_task(2))
    assert seqs(queue.pop_due(NOW_MS, 9)) == [2]
    assert queue.next_due_ms() == NOW_MS + 1
    assert seqs(queue.pop_due(NOW_MS + 1, 9)) == [1]
    assert queue.next_due_ms() is None


def test_a_requeued_task_waits_for_its_time_and_then_has_its_old_place() -> None:
    started = transitions.start(a_task(1), NOW_MS)
    requeued = transitions.requeue(started, NOW_MS, NOW_MS + 100)
    queue = a_queue(requeued, a_task(2))
    assert seqs(queue.pop_due(NOW_MS, 9)) == [2]
    queue.push(a_task(3), NOW_MS)
    assert seqs(queue.pop_due(NOW_MS + 100, 9)) == [1, 3]


def test_called_off_tasks_are_passed_over_and_swept() -> None:
    gone: set[int] = set()
    queue = WorkQueue(lambda task: task.seq not in gone)
    queue.load([a_task(seq, NOW_MS + seq % 2) for seq in range(5000)], NOW_MS)
    for seq in range(4000):
        gone.add(seq)
        queue.forget()
    assert queue.due_count(NOW_MS) < 2500
    assert seqs(queue.pop_due(NOW_MS + 1, 5000)) == [*range(4000, 5000, 2), *range(4001, 5000, 2)]
    assert queue.next_due_ms() is None


Timings = st.lists(st.tuples(st.integers(-5, 5), st.integers(-3, 3), st.booleans()), max_size=60)


@given(Timings, st.integers(1, 7), st.booleans())
def test_any_mix_comes_out_as_sorting_would_have_it(
    timings: list[tuple[int, int, bool]], limit: int, load: bool
) -> None:
    """Against the naive model: at each moment, the due tasks sorted by the rule."""
    tasks = [a_task(seq, NOW_MS + start, priority) for seq, (start, priority, _) in enumerate(timings)]
    gone = {seq for seq, (_, _, dead) in enumerate(timings) if dead}
    queue = WorkQueue(lambda task: task.seq not in gone)
    if load:
        queue.load(tasks, NOW_MS)
    else:
        for task in tasks:
            queue.push(task, NOW_MS)
    waiting = [task for task in tasks if task.seq not in gone]
    for now_ms in range(NOW_MS, NOW_MS + 7):
        due = sorted(
            (task for task in waiting if task.start_ms <= now_ms),
            key=lambda task: (-task.priority, task.start_ms, task.seq),
        )[:limit]
        assert queue.pop_due(now_ms, limit) == due
        waiting = [task for task in waiting if task not in due]
        earliest = min((task.start_ms for task in waiting), default=None)
        next_due_ms = queue.next_due_ms()
        assert (next_due_ms is None) == (earliest is None)
        if next_due_ms is not None and earliest is not None:
            assert (next_due_ms <= now_ms) == (earliest <= now_ms)


Turns = st.lists(st.tuples(st.sets(st.sampled_from("abc")), st.integers(1, 4)), min_size=1, max_size=12)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(-3, 3), st.booleans()), max_size=40), Turns)
def test_what_is_held_back_is_left_out_and_comes_in_its_old_place_when_it_is_not(
    specs: list[tuple[str, int, bool]], turns: list[tuple[set[str], int]]
) -> None:
    """Against the naive model: at each turn, the best tasks of the functions that are not held."""
    tasks = [a_task(seq, priority=priority, function_name=name) for seq, (name, priority, _) in enumerate(specs)]
    gone: set[int] = set()
    queue = WorkQueue(lambda task: task.seq not in gone, run_max=4)
    queue.load(tasks, NOW_MS)
    waiting = sorted(tasks, key=lambda task: (-task.priority, task.start_ms, task.seq))
    for held, limit in turns:
        free = [task for task in waiting if task.function_name not in held][:limit]
        assert queue.pop_due(NOW_MS, limit, held) == free
        waiting = [task for task in waiting if task not in free]
        assert queue.due_count(NOW_MS) >= len(waiting)
        cancelled = [task for task in waiting if specs[task.seq][2]][:1]
        gone |= {task.seq for task in cancelled}
        queue.forget(len(cancelled))
        waiting = [task for task in waiting if task.seq not in gone]
    assert queue.pop_due(NOW_MS, 99) == waiting


def test_cancelled_tasks_are_swept_from_what_is_held_back() -> None:
    gone: set[int] = set()
    queue = WorkQueue(lambda task: task.seq not in gone)
    queue.load([a_task(seq, function_name="held") for seq in range(5000)], NOW_MS)
    while queue.next_due_ms() is not None:
        assert queue.pop_due(NOW_MS, 9, {"held"}) == []
    for seq in range(4000):
        gone.add(seq)
        queue.forget()
    assert queue.due_count(NOW_MS) < 2500
    assert seqs(queue.pop_due(NOW_MS, 5000)) == [*range(4000, 5000)]


def test_a_crowd_that_is_held_back_is_passed_by_once_and_in_steps() -> None:
    """However many stand before them, the others are reached, and no later claim looks at the crowd again."""
    crowd = 50_000
    looked_at: list[Task] = []

    def is_waiting(task: Task) -> bool:
        looked_at.append(task)
        return True

    queue = WorkQueue(is_waiting)
    queue.load([a_task(seq, priority=9, function_name="held") for seq in range(crowd)], NOW_MS)
    queue.load([a_task(crowd), a_task(crowd + 1)], NOW_MS)
    steps = 0
    while not (taken := queue.pop_due(NOW_MS, 1, {"held"})):
        steps += 1
        assert len(looked_at) <= steps * 600, "no step takes long"
        assert queue.next_due_ms() is not None, "there is more, so nobody sleeps"
    assert seqs(taken) == [crowd]
    looked_at.clear()
    assert seqs(queue.pop_due(NOW_MS, 9, {"held"})) == [crowd + 1]
    assert len(looked_at) == 1
    assert len(queue.pop_due(NOW_MS, 100)) == 100
