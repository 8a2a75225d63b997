"""Tasks that wait for their functions' start rules: in nobody's way, however many they are. Counted, not timed."""

from collections import Counter

import pytest

from taskd.model import task as transitions
from taskd.model.function import Function
from taskd.model.start_rules import Concurrency, StartRules, Throttle
from taskd.model.task import Task, TaskDraft
from taskd.store.embedded.queue.usage import Usage, Usages
from taskd.store.embedded.queue.work_queue import WorkQueue

NOW_MS = 1_000_000_000
CROWD = 40_000
PER_KEY = StartRules(Concurrency(per_key=1, key="data.k"))


def a_task(seq: int, name: str = "f", priority: int = 0, key: int = 0, start_ms: int = NOW_MS) -> Task:
    draft = TaskDraft(name, b'{"k":%d}' % key, start_ms, priority)
    return transitions.create(draft, f"{seq:024x}", seq, NOW_MS)


class Counted:
    """A queue of functions with rules, and how often it looked at a task or asked what a rule says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **rules: StartRules) -> None:
        self.count = 0
        self.usages = Usages()
        self.usages.freed = []
        for name, each in rules.items():
            self.usages.set_function(Function(name, "i.h", "python3.11", 1, "v", start_rules=each), [])
        for verb in ("opens_ms", "key_opens_ms", "keys_of", "take"):
            self.watch(monkeypatch, verb)
        self.queue = WorkQueue(self.is_waiting, usages=self.usages)
        self.queue.load([], NOW_MS)

    def watch(self, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
        plain = getattr(Usage, verb)

        def counted(*args: object) -> object:
            self.count += 1
            return plain(*args)

        monkeypatch.setattr(Usage, verb, counted)

    def is_waiting(self, _: Task) -> bool:
        self.count += 1
        return True

    def add(self, *tasks: Task) -> None:
        for task in tasks:
            self.queue.push(task, NOW_MS)

    def cost_of_a_claim(self, now_ms: int = NOW_MS, limit: int = 1) -> tuple[list[Task], int]:
        before = self.count
        taken = self.queue.pop_due(now_ms, limit)
        return taken, self.count - before


@pytest.mark.parametrize(
    "rules",
    [StartRules(Concurrency(total=1)), PER_KEY, StartRules(throttle=Throttle(1, 60_000))],
    ids=["total", "key", "throttle"],
)
def test_a_crowd_of_a_full_function_costs_the_others_nothing(
    monkeypatch: pytest.MonkeyPatch, rules: StartRules
) -> None:
    counted = Counted(monkeypatch, full=rules)
    counted.add(*(a_task(seq, "full", priority=9) for seq in range(CROWD)))
    assert [task.seq for task in counted.queue.pop_due(NOW_MS, 10)] == [0]
    for seq in range(CROWD, CROWD + 100):
        counted.add(a_task(seq, "other"))
        taken, cost = counted.cost_of_a_claim()
        assert [task.seq for task in taken] == [seq]
        assert cost <= 3
    taken, cost = counted.cost_of_a_claim()
    assert (taken, cost <= 3) == ([], True)
    assert counted.queue.due_count(NOW_MS) == CROWD - 1
    next_due_ms = counted.queue.next_due_ms()
    assert next_due_ms is None or next_due_ms > NOW_MS, "nobody looks again and again"


def test_any_number_of_full_keys_cost_the_others_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(monkeypatch, keyed=PER_KEY)
    counted.add(*(a_task(seq, "keyed", priority=9, key=seq // 2) for seq in range(2 * CROWD)))
    for _ in range(CROWD // 1000):
        taken, cost = counted.cost_of_a_claim(limit=1000)
        assert len({task.data for task in taken}) == 1000, "keys take turns"
        assert cost <= 12 * len(taken)
    counted.add(a_task(2 * CROWD, "other"))
    taken, cost = counted.cost_of_a_claim(limit=10)
    assert [task.function_name for task in taken] == ["other"]
    assert cost <= 3


def test_one_that_ends_costs_what_it_lets_start_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(monkeypatch, keyed=StartRules(Concurrency(total=1_000, per_key=1, key="data.k")))
    counted.add(*(a_task(seq, "keyed", key=seq % 1_000) for seq in range(10_000)))
    running = counted.queue.pop_due(NOW_MS, 5_000)
    assert len(running) == 1_000
    for task in running[:100]:
        counted.usages.ended([transitions.complete(transitions.start(task, NOW_MS), NOW_MS)])
        [taken], cost = counted.cost_of_a_claim(limit=10)
        assert taken.data == task.data, "another of its key"
        assert cost <= 20


def test_tasks_of_the_future_that_fall_due_by_the_second_take_turns_once_they_are_sorted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted = Counted(monkeypatch, keyed=StartRules(Concurrency(per_key=1_000, key="data.k")))
    later_ms = NOW_MS + 5_000
    keys = [0] * 3_000 + [1] * 30
    counted.add(*(a_task(seq, "keyed", key=key, start_ms=later_ms) for seq, key in enumerate(keys)))
    taken: list[Task] = []
    for _ in range(20):
        taken += counted.queue.pop_due(later_ms + 2_000, 10)
    assert Counter(task.data for task in taken[:100])[b'{"k":1}'] == 30


def test_a_young_task_whose_turn_it_is_does_not_lose_its_functions_place(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(monkeypatch, keyed=StartRules(Concurrency(per_key=5, key="data.k")))
    counted.add(a_task(1, "keyed", start_ms=NOW_MS - 10), a_task(2, "keyed", start_ms=NOW_MS - 9))
    counted.add(a_task(3, "other", start_ms=NOW_MS - 5), a_task(4, "keyed", key=1, start_ms=NOW_MS - 1))
    assert [task.seq for task in counted.queue.pop_due(NOW_MS, 9)] == [1, 4, 2, 3]


def test_rules_that_are_set_changed_and_dropped_find_the_tasks_that_wait_already(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted = Counted(monkeypatch)
    counted.add(*(a_task(seq, "f", key=seq % 2) for seq in range(3_000)))
    function = Function("f", "i.h", "python3.11", 1, "v", start_rules=PER_KEY)
    counted.usages.set_function(function, [])
    taken = [task for _ in range(20) for task in counted.queue.pop_due(NOW_MS, 10)]
    assert [task.seq for task in taken] == [0, 1]
    assert counted.queue.next_due_ms() is None
    counted.usages.remove_function("f")
    taken = [task for _ in range(20) for task in counted.queue.pop_due(NOW_MS, 100)]
    assert [task.seq for task in taken] == list(range(2, 2_002))
    assert counted.queue.due_count(NOW_MS) == 998
