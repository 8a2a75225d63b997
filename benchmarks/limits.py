"""What start rules cost: due tasks are drained with rules that never hold one up, beside the same without any rule.

Three times the same tasks: of many functions without rules; of as many, each with a rule of concurrency and one of
throttling; and of one function whose rules tell each task from all others. CPU time says more than the rate where
something else runs on the machine.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click
import uvloop

from benchmarks.harness.engine import open_engine
from benchmarks.harness.harness import Harness, benchmark_options, size
from benchmarks.harness.lambda_stub import running_stub
from benchmarks.harness.populate import AT_ONCE, caught_up, drafts
from benchmarks.harness.processes import elapsed, in_fresh_process
from benchmarks.harness.study import Comparison, Figures, Study, Subject
from taskd.model.clock import system_clock_ms
from taskd.model.function import Function
from taskd.model.limits import CONCURRENCY_MAX, THROTTLE_LIMIT_MAX
from taskd.model.start_rules import Concurrency, StartRules, Throttle
from taskd.store.base import TaskStore

QUICK = {"tasks": 200, "functions": 10}
NO_RULES = "no rules"
RATE = "tasks/s"
CPU = "CPU µs/task"
_KEY = "data.number"
_THROTTLE = Throttle(THROTTLE_LIMIT_MAX, 1_000, THROTTLE_LIMIT_MAX)
WHOLE = StartRules(Concurrency(total=CONCURRENCY_MAX), _THROTTLE)
BY_KEY = StartRules(
    Concurrency(per_key=CONCURRENCY_MAX, key=_KEY), Throttle(THROTTLE_LIMIT_MAX, 1_000, THROTTLE_LIMIT_MAX, _KEY)
)


def drained(url: str, folder: Path, tasks: int, functions: int, rules: StartRules | None) -> Figures:
    """Fills a store in ``folder`` with tasks of as many functions, each with the ``rules``, then drains it."""
    return uvloop.run(_drained(url, folder, tasks, functions, rules))


async def _drained(url: str, folder: Path, tasks: int, functions: int, rules: StartRules | None) -> Figures:
    async with open_engine(folder, url, 256, tasks) as engine:
        await _deploy(engine.store, [f"noop{number}" for number in range(functions)], rules)
        await _add(engine.store, tasks, functions)
        with elapsed() as took:
            await engine.runner.start()
            await engine.ends.reached
            await caught_up(engine.store)
    return {RATE: tasks / took.wall_s, CPU: took.cpu_s / tasks * 1e6}


async def _deploy(store: TaskStore, names: Sequence[str], rules: StartRules | None) -> None:
    for name in names:
        function = Function(name, "index.handler", "python3.11", system_clock_ms(), "v1", start_rules=rules)
        await store.put_function(function, None)


async def _add(store: TaskStore, tasks: int, functions: int) -> None:
    for number, batch in enumerate(drafts(tasks, system_clock_ms(), functions=functions), 1):
        await store.add(batch)
        if number * AT_ONCE % 20_000 == 0:
            await caught_up(store)
    await caught_up(store)


@click.command()
@size("--tasks", 100_000, "As many are the keys.")
@size("--functions", 1_000)
@benchmark_options
def command(harness: Harness, tasks: int, functions: int) -> None:
    """What rules of concurrency and throttling cost."""
    with running_stub() as url:

        def drain(functions: int, rules: StartRules | None) -> Figures:
            with harness.scratch() as folder:
                return in_fresh_process(drained, url, Path(folder), tasks, functions, rules)

        study = Study(
            name="limits",
            title=f"Draining {tasks:,} due tasks under start rules",
            subjects=[
                Subject(NO_RULES, partial(drain, functions, None)),
                Subject(f"two rules on each of {functions:,} functions", partial(drain, functions, WHOLE)),
                Subject("one function, no rules", partial(drain, 1, None)),
                Subject(f"one function, {tasks:,} keys", partial(drain, 1, BY_KEY)),
            ],
            settings={"tasks": tasks, "functions": functions},
            plotted=(RATE, CPU),
            comparisons=[Comparison(RATE, [NO_RULES]), Comparison(CPU, [NO_RULES])],
        )
        harness.conduct(study)
