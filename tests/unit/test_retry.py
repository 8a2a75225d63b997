"""The rule of retries: what follows a failure, and when."""

from itertools import pairwise

import pytest

from taskd.model import task as transitions
from taskd.model.function import Function, RetryPolicy
from taskd.model.objectid import ObjectIdFactory
from taskd.model.retry import successor_of
from taskd.model.task import ErrorType, Task, TaskDraft, TaskError

ERROR = TaskError(ErrorType.RUNTIME, "WardClosed", "not at night")
NOW_MS = 1_700_000_000_000
DELAY_MS = 60_000


def task_of(task_id: str, earlier: tuple[str, ...] = ()) -> Task:
    return transitions.create(TaskDraft("f", b"{}", 0, retry_for_task_ids=earlier), task_id, 1, NOW_MS)


def start_of_retry(policy: RetryPolicy, task: Task) -> int | None:
    """When the task that follows the failure of ``task`` starts."""
    function = Function("f", "index.handler", "python3.11", 1, "v1", retry_policy=policy)
    draft = successor_of(task, function, ERROR, NOW_MS)
    return None if draft is None else draft.start_ms


@pytest.mark.parametrize(("failures", "delay_ms"), [(0, 2_000), (1, 5_000), (2, 10_000), (3, None)])
def test_a_policy_that_says_no_delays_has_the_usual_ones(failures: int, delay_ms: int | None) -> None:
    start_ms = start_of_retry(RetryPolicy(enabled=True), task_of("a" * 24, ("b" * 24,) * failures))
    assert start_ms == (None if delay_ms is None else NOW_MS + delay_ms)


@pytest.mark.parametrize("failures", range(20))
def test_there_are_as_many_retries_as_delays(failures: int) -> None:
    policy = RetryPolicy(enabled=True, delays_ms=tuple(range(20)))
    assert start_of_retry(policy, task_of("a" * 24, ("b" * 24,) * failures)) == NOW_MS + failures


def test_jitter_spreads_tasks_that_fail_together_evenly_and_never_shortens_a_delay() -> None:
    new_id = ObjectIdFactory(lambda: NOW_MS)
    tasks = [task_of(new_id()) for _ in range(1000)]
    policy = RetryPolicy(enabled=True, delays_ms=(DELAY_MS,), jitter=0.5)
    starts = [start_of_retry(policy, task) or 0 for task in tasks]
    assert starts == [start_of_retry(policy, task) for task in tasks]
    in_order = sorted(start_ms - NOW_MS for start_ms in starts)
    assert DELAY_MS <= in_order[0] <= in_order[-1] < 1.5 * DELAY_MS
    assert max(later - sooner for sooner, later in pairwise(in_order)) < 1_000
