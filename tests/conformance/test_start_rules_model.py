"""A model of start rules: whatever is done to a store, in whatever order, and whenever its process is killed.

Never is more in progress than a rule allows, zombies that may still run included; nothing waits while every rule that
it comes under has room; and keys take turns.
"""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from msgspec.structs import replace
from support.clocks import FakeClock
from support.disk.in_memory import memory_directory
from support.store.memory_store import MemoryStore, SharedRecords
from support.store.start_limits import StartLimits

from taskd.model.errors import CONCURRENT_EXECUTIONS, ContractError
from taskd.model.function import Function
from taskd.model.limits import ZOMBIE_MARGIN_S
from taskd.model.retry import unknown_outcome
from taskd.model.start_rules import Concurrency, Keys, StartRules, Throttle
from taskd.model.status import Status
from taskd.model.task import ErrorType, Task, TaskDraft, TaskError
from taskd.store.base import Completed, Failed, Outcome, Requeued, TaskStore
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore
from taskd.store.embedded.stored_data import IN_MEMORY_MAX_BYTES

T = TypeVar("T")
Lane = tuple[str, Keys]

TIME_LIMIT_S = 3
HOLD_MS = int((TIME_LIMIT_S + ZOMBIE_MARGIN_S) * 1000)
RULES = {
    "free": None,
    "total": StartRules(Concurrency(total=2)),
    "keyed": StartRules(Concurrency(per_key=1, key="data.k")),
    "wide": StartRules(Concurrency(per_key=50, key="data.k")),
    "both": StartRules(Concurrency(total=3, per_key=2, key="data.k")),
    "slow": StartRules(throttle=Throttle(2, 1_000)),
    "slow-keys": StartRules(throttle=Throttle(1, 1_000, 2, "data.j")),
    "all": StartRules(Concurrency(total=4, per_key=1, key="data.k"), Throttle(1, 500, 1, "data.j")),
}
NAMES = st.sampled_from(sorted(RULES))
ENDS = st.sampled_from(["complete", "complete", "fail", "zombie", "requeue"])
ERROR = TaskError(ErrorType.RUNTIME, "zombieTaskCleaned", "a function may say so, too")


def data(key: int, size: int) -> bytes:
    return b'{"k":%d,"j":%d,"pad":"%b"}' % (key % 3, key // 3, b"x" * (IN_MEMORY_MAX_BYTES * size))


class Limits(RuleBasedStateMachine):
    """What may happen, on a store that a subclass opens."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = FakeClock()
        self.functions: dict[str, Function] = {}
        self.model = StartLimits(self.functions.get)
        self.waiting: dict[str, Task] = {}
        self.stores: list[TaskStore] = []

    def open(self) -> None:
        raise NotImplementedError

    def reopen(self) -> None:
        raise NotImplementedError

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(coroutine, 30))

    @property
    def store(self) -> TaskStore:
        return self.stores[0]

    @initialize()
    def begin(self) -> None:
        self.open()
        for name, rules in RULES.items():
            self.put(name, rules)

    def put(self, name: str, rules: StartRules | None) -> None:
        function = Function(
            *(name, "index.handler", "python3.11", self.clock(), "v"), time_limit_s=TIME_LIMIT_S, start_rules=rules
        )
        self.run(self.store.put_function(function, self.store.function(name)))
        former = self.functions.get(name)
        self.model.change(name, None if former is None else former.start_rules, rules)
        self.functions[name] = function

    @rule(name=NAMES, like=NAMES)
    def change_rules(self, name: str, like: str) -> None:
        self.put(name, RULES[like])

    def is_exact(self, name: str) -> bool:
        """Whether the store knows the keys of all that runs."""
        return True

    @rule(name=NAMES, keys=st.lists(st.integers(0, 8), min_size=1, max_size=6), priority=st.integers(0, 1))
    def add(self, name: str, keys: list[int], priority: int) -> None:
        drafts = [TaskDraft(name, data(key, key == 8), self.clock(), priority) for key in keys]
        for task, draft in zip(self.run(self.store.add(drafts)), drafts, strict=True):
            assert task.data == draft.data
            self.waiting[task.id] = task

    @rule(name=NAMES, keys=st.lists(st.integers(0, 8), min_size=1, max_size=4), delay_ms=st.sampled_from([1, 1500]))
    def add_later(self, name: str, keys: list[int], delay_ms: int) -> None:
        drafts = [TaskDraft(name, data(key, 0), self.clock() + delay_ms) for key in keys]
        for task in self.run(self.store.add(drafts)):
            self.waiting[task.id] = task

    @rule(
        limit=st.sampled_from([1, 2, 5, 1000]), held=st.just(set()) | st.sets(NAMES, max_size=2), node=st.integers(0, 1)
    )
    def claim(self, limit: int, held: set[str], node: int) -> None:
        now_ms = self.clock()
        claimed = self.run(self.stores[node % len(self.stores)].claim(limit, held))
        assert len(claimed) <= limit
        passed: Counter[tuple[Lane, Lane]] = Counter()
        for task in claimed:
            assert task.function_name not in held
            self.take_turns(task, passed)
            self.start(task)
        due = [task for task in self.waiting.values() if task.due_ms <= now_ms and task.function_name not in held]
        if len(claimed) < limit:
            left = [task for task in due if self.model.may_start(task, now_ms)]
            left = [task for task in left if self.is_exact(task.function_name)]
            assert not left, f"{left[0].function_name} waits while every rule has room"
            next_ms = self.store.next_due_ms()
            waiting = [task for task in self.waiting.values() if self.is_exact(task.function_name)]
            coming = [at for task in waiting if (at := self.model.opens_ms(task, now_ms)) is not None]
            if coming and not held:
                assert next_ms is not None, "it would be slept through"

    def take_turns(self, task: Task, passed: "Counter[tuple[Lane, Lane]]") -> None:
        """None goes twice while another of its function and priority, that might go, too, goes not at all."""
        now_ms, lane = self.clock(), self.lane(task)
        for other in {self.lane(each) for each in self.waiting.values() if self.is_rival(each, task, now_ms)} - {lane}:
            passed[lane, other] += 1
            assert passed[lane, other] < 2, f"{task.function_name} does not take turns"
        for pair in [pair for pair in passed if pair[1] == lane]:
            del passed[pair]

    def is_rival(self, other: Task, task: Task, now_ms: int) -> bool:
        is_read = len(other.data) <= IN_MEMORY_MAX_BYTES  # the keys of longer data may have to be read first
        return (
            is_read
            and (other.function_name, other.priority) == (task.function_name, task.priority)
            and other.due_ms <= now_ms
            and self.model.may_start(other, now_ms)
            and self.is_exact(other.function_name)
        )

    def lane(self, task: Task) -> Lane:
        return (task.function_name, self.model.keys(self.waiting.get(task.id, task)))

    def start(self, task: Task) -> None:
        before = self.waiting.pop(task.id)
        assert self.model.may_start(before, self.clock()), f"{task.function_name} has no room"
        self.model.start(before, self.clock())

    @rule(name=NAMES, key=st.integers(0, 8))
    def execute(self, name: str, key: int) -> None:
        draft = TaskDraft(name, data(key, 0), self.clock(), direct=True)
        probe = Task("", 0, name, draft.data, 0, 0, 0, Status.NEW, 0)
        if not self.model.may_start(probe, self.clock()):
            with pytest.raises(ContractError) as caught:
                self.run(self.store.add_started(draft))
            assert caught.value.kind is CONCURRENT_EXECUTIONS
        elif self.is_exact(name):
            task = self.run(self.store.add_started(draft))
            self.waiting[task.id] = task
            self.start(task)

    @rule(
        ends=st.lists(st.tuples(st.integers(0, 99), ENDS), min_size=1, max_size=4), limit=st.sampled_from([0, 1, 1000])
    )
    def settle_some(self, ends: list[tuple[int, str]], limit: int) -> None:
        """And has others start in their places."""
        for index, how in ends:
            self.settle(index, how)
        if limit:
            self.claim(limit, set(), 0)

    def settle(self, index: int, how: str) -> None:
        running = [run.task for run in self.model.runs.values() if not run.is_zombie]
        if not running:
            return
        task = running[index % len(running)]
        outcomes: dict[str, Outcome] = {
            "complete": Completed(task.id),
            "fail": Failed(task.id, ERROR),
            "zombie": Failed(task.id, unknown_outcome("why")),
            "requeue": Requeued(task.id, self.clock() + 100),
        }
        for store in self.stores:
            [settled] = self.run(store.settle([outcomes[how]]))
            if settled is not None:
                break
        else:
            return  # an earlier process had it
        if how == "requeue":
            self.model.requeue(task.id)
            self.waiting[task.id] = replace(settled, data=task.data)
        else:
            self.model.end(task.id, is_zombie=how == "zombie")

    @rule(index=st.integers(0, 99))
    def cancel(self, index: int) -> None:
        if self.waiting:
            task = list(self.waiting.values())[index % len(self.waiting)]
            self.run(self.store.cancel(task.id))
            del self.waiting[task.id]

    @rule(ms=st.sampled_from([1, 250, 499, 500, 1000, 5000, HOLD_MS]), limit=st.sampled_from([0, 1, 1000]))
    def wait(self, ms: int, limit: int) -> None:
        self.clock.advance(ms)
        if limit:
            self.claim(limit, set(), 0)

    @rule()
    def crash(self) -> None:
        self.reopen()

    @rule()
    def reap(self) -> None:
        for task in self.run(self.store.reap(100)):
            self.model.end(task.id, is_zombie=True)

    def teardown(self) -> None:
        for store in self.stores:
            self.run(store.stop())
        self.loop.close()


class EmbeddedLimits(Limits):
    def open(self) -> None:
        self.memory = memory_directory()
        self.folder = tempfile.mkdtemp(dir=self.memory.__enter__())
        self.fatal: list[BaseException] = []
        self.start_store()

    def start_store(self) -> None:
        self.stores = [EmbeddedStore(StoreSettings(data=self.folder, segment_mib=0), self.clock, self.fatal.append)]
        self.run(self.stores[0].start())

    def reopen(self) -> None:
        """What is durable is all that a kill leaves, and all of it is durable between two verbs."""
        self.run(self.stores[0].stop())
        self.start_store()

    def is_exact(self, name: str) -> bool:
        store = self.stores[0]
        assert isinstance(store, EmbeddedStore)
        usage = store._commits.state.usages.by_function.get(name)
        return usage is None or not usage.unkeyed

    @rule()
    def compact(self) -> None:
        store = self.stores[0]
        assert isinstance(store, EmbeddedStore)
        self.run(store.compact())

    @invariant()
    def nothing_is_fatal(self) -> None:
        assert not getattr(self, "fatal", None)

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "memory"):
            self.memory.__exit__(None, None, None)


class MemoryLimits(Limits):
    def open(self) -> None:
        self.shared = SharedRecords(self.clock)
        self.stores = [MemoryStore(self.shared, "first"), MemoryStore(self.shared, "second")]
        for store in self.stores:
            self.run(store.start())

    def reopen(self) -> None:
        """One of the two nodes dies, and another comes."""
        dead = self.stores.pop(0)
        assert isinstance(dead, MemoryStore)
        dead.die()
        self.stores.append(MemoryStore(self.shared, "another"))
        self.run(self.stores[-1].start())


@pytest.mark.parametrize("machine", [EmbeddedLimits, MemoryLimits])
def test_start_rules_hold_whatever_happens(machine: type[Limits]) -> None:
    run_state_machine_as_test(machine, settings=settings(max_examples=60, stateful_step_count=30, deadline=None))
