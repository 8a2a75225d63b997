"""Start rules as plainly as they can be said: what runs, what is due, and a look at all of it for each decision."""

from collections.abc import Callable, Iterable

from msgspec import Struct

from taskd.model.function import Function
from taskd.model.limits import ZOMBIE_MARGIN_S
from taskd.model.start_rules import Keys, StartRules, key_reader
from taskd.model.task import Task


class Run(Struct):
    """A task that has started, until it can no longer run."""

    task: Task
    until_ms: int
    before_ns: int
    after_ns: int
    is_zombie: bool = False


class StartLimits:
    """What runs, and what started when, by function."""

    def __init__(self, function: Callable[[str], Function | None]) -> None:
        self._function = function
        self.runs: dict[str, Run] = {}
        self.arrivals_ns: dict[tuple[str, bytes], int] = {}
        self._turns: dict[tuple[str, Keys], int] = {}
        self._turn = 0

    def change(self, name: str, former: StartRules | None, rules: StartRules | None) -> None:
        """The rules of a function are others now; what ended before there were any is not known."""
        if former is None:
            self.runs = {
                key: run for key, run in self.runs.items() if not (run.is_zombie and run.task.function_name == name)
            }
        before, now = (each.throttle if each is not None else None for each in (former, rules))
        if before is None or now is None or before.key != now.key:
            self.arrivals_ns = {place: at for place, at in self.arrivals_ns.items() if place[0] != name}

    def rules(self, task: Task) -> StartRules:
        function = self._function(task.function_name)
        return (function.start_rules if function is not None else None) or StartRules()

    def keys(self, task: Task) -> Keys:
        return key_reader(self.rules(task).key_paths)(task.data)

    def opens_ms(self, task: Task, now_ms: int) -> int | None:
        """When the task may start as far as is known; ``None`` if that depends on what runs."""
        rules, keys = self.rules(task), self.keys(task)
        running = [run.task for run in self.running(now_ms) if run.task.function_name == task.function_name]
        if (concurrency := rules.concurrency) is not None:
            alike = [other for other in running if self.keys(other).at_once == keys.at_once]
            if concurrency.total is not None and len(running) >= concurrency.total:
                return None
            if concurrency.per_key is not None and len(alike) >= concurrency.per_key:
                return None
        if rules.throttle is None:
            return now_ms
        return rules.throttle.gcra.opens_ms(self.arrivals_ns.get((task.function_name, keys.in_time), 0), now_ms)

    def may_start(self, task: Task, now_ms: int) -> bool:
        opens_ms = self.opens_ms(task, now_ms)
        return opens_ms is not None and opens_ms <= now_ms

    def running(self, now_ms: int) -> list[Run]:
        """Zombies that may still run included."""
        return [run for run in self.runs.values() if not run.is_zombie or run.until_ms > now_ms]

    def best(self, due: Iterable[Task], now_ms: int) -> Task | None:
        """The task that starts next: of the best function, and there of the key whose turn was longest ago."""
        able = sorted((task for task in due if self.may_start(task, now_ms)), key=_order)
        if not able:
            return None
        rivals = [
            task for task in able if (task.function_name, task.priority) == (able[0].function_name, able[0].priority)
        ]
        return min(rivals, key=lambda task: (self._turns.get((task.function_name, self.keys(task)), 0), _order(task)))

    def start(self, task: Task, now_ms: int) -> None:
        self._turn += 1
        keys, throttle = self.keys(task), self.rules(task).throttle
        self._turns[task.function_name, keys] = self._turn
        function = self._function(task.function_name)
        limit_s = 0 if function is None else function.time_limit_s
        place = (task.function_name, keys.in_time)
        before_ns = after_ns = self.arrivals_ns.get(place, 0)
        if throttle is not None:
            after_ns = self.arrivals_ns[place] = throttle.gcra.after(before_ns, now_ms)
        self.runs[task.id] = Run(task, now_ms + int((limit_s + ZOMBIE_MARGIN_S) * 1000), before_ns, after_ns)

    def end(self, task_id: str, *, is_zombie: bool) -> None:
        if is_zombie and task_id in self.runs:
            self.runs[task_id].is_zombie = True
        else:
            self.runs.pop(task_id, None)

    def requeue(self, task_id: str) -> None:
        if (run := self.runs.pop(task_id, None)) is not None:
            place = (run.task.function_name, self.keys(run.task).in_time)
            if self.arrivals_ns.get(place) == run.after_ns:
                self.arrivals_ns[place] = run.before_ns


def _order(task: Task) -> tuple[int, int, int]:
    return (-task.priority, task.start_ms, task.seq)
