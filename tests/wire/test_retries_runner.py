"""Retries with the real store and real functions, by a clock that moves when the test says so."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.clocks import FakeClock
from support.functions.local_runtime import LocalRuntimeHarness, local_harness

from taskd.execution.runner import Runner
from taskd.execution.settings import DispatchSettings
from taskd.model.function import RetryPolicy
from taskd.model.limits import RETRY_DELAYS_MS
from taskd.model.status import FINAL, Status
from taskd.model.task import ErrorType, Task, TaskDraft
from taskd.rql.parser import parse
from taskd.store.embedded.events import Added, Retried, decode_events
from taskd.store.embedded.journal.directory import segments
from taskd.store.embedded.journal.replay import Replay
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore

FLAKY = """
def handler(task, context):
    if len(task.get("retryForTaskIds", ())) < task["data"]["failures"]:
        raise type(task["data"]["error"], (Exception,), {})("as it was told")
"""
ALWAYS = b'{"failures": 99, "error": "WardClosed"}'
ONCE = b'{"failures": 1, "error": "WardClosed"}'


class RetryHarness:
    """A store, a runtime and a runner on one clock, and the function ``flaky``."""

    def __init__(self, directory: Path, local: LocalRuntimeHarness) -> None:
        self.clock = FakeClock()
        self.journal = directory / "journal"
        self.fatal: list[BaseException] = []
        self.store = EmbeddedStore(StoreSettings(data=str(directory)), self.clock, self.fatal.append)
        self.local = local
        self.runner = Runner(
            self.store, local.runtime, DispatchSettings(), clock=self.clock, on_fatal=self.fatal.append
        )

    async def deploy(self, policy: RetryPolicy, *, enabled: bool = True) -> None:
        fields = {"runtime": "python3.11", "retry_policy": policy, "enabled": enabled}
        function = await self.local.deploy_python(FLAKY, name="flaky", **fields)
        await self.store.put_function(function, self.store.function("flaky"))

    async def run(self, data: bytes) -> Task:
        """A task of the function as it is when it has ended."""
        [task] = await self.store.add([self.draft(data)])
        return await self.ended(task.id)

    def draft(self, data: bytes) -> TaskDraft:
        return TaskDraft("flaky", data, self.clock(), 3, ("a", "b"), "u" * 24, "a" * 24, schedule_id="5" * 24)

    async def ended(self, task_id: str | None) -> Task:
        assert task_id is not None
        async with asyncio.timeout(20):
            while (task := await self.store.get(task_id)).status not in FINAL:
                await asyncio.sleep(0.005)
        return task

    async def pass_time(self, ms: int) -> None:
        """Moves the clock; a task that is due before all others makes the runner look at it."""
        self.clock.advance(ms)
        await self.store.add([TaskDraft("absent", b"{}", 0)])

    async def flaky_tasks(self) -> list[Task]:
        return (await self.store.find(parse("functionName=flaky&limit(100)"))).rows


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[RetryHarness]:
    async with local_harness(tmp_path / "functions") as local:
        harness = RetryHarness(tmp_path / "data", local)
        await harness.store.start()
        await harness.runner.start()
        yield harness
        await harness.runner.drain(10)
        await harness.store.stop()
        assert not harness.fatal


async def test_a_task_that_always_fails_is_tried_four_times_at_growing_distances(harness: RetryHarness) -> None:
    await harness.deploy(RetryPolicy(enabled=True))
    chain = [await harness.run(ALWAYS)]
    for delay_ms in RETRY_DELAYS_MS:
        successor = await harness.store.get(chain[-1].retried_by_task_id or "")
        assert successor.start_ms == chain[-1].status_changed_ms + delay_ms
        await harness.pass_time(delay_ms)
        chain.append(await harness.ended(successor.id))
    assert [task.status for task in chain] == [Status.RETRIED] * 3 + [Status.FAILED]
    assert [task.retried_by_task_id for task in chain] == [*(task.id for task in chain[1:]), None]
    ids = tuple(task.id for task in chain)
    assert [task.retry_for_task_ids for task in chain] == [ids[:number] for number in range(4)]
    assert {(task.error.type, task.error.name) for task in chain if task.error} == {(ErrorType.RUNTIME, "WardClosed")}
    await harness.pass_time(10**6)
    assert len(await harness.flaky_tasks()) == 4


async def test_a_function_says_how_often_and_when_it_is_tried_again(harness: RetryHarness) -> None:
    await harness.deploy(RetryPolicy(enabled=True, delays_ms=(0, 60_000)))
    first = await harness.run(ALWAYS)
    second = await harness.ended(first.retried_by_task_id)
    third = await harness.store.get(second.retried_by_task_id or "")
    assert second.start_ms == first.status_changed_ms
    assert third.start_ms == second.status_changed_ms + 60_000
    await harness.pass_time(60_000)
    assert (await harness.ended(third.id)).status is Status.FAILED


async def test_a_retry_has_the_properties_of_the_task_it_stands_for(harness: RetryHarness) -> None:
    await harness.deploy(RetryPolicy(enabled=True))
    first = await harness.run(ONCE)
    await harness.pass_time(RETRY_DELAYS_MS[0])
    second = await harness.ended(first.retried_by_task_id)
    assert (first.status, second.status) == (Status.RETRIED, Status.COMPLETE)
    given = ("function_name", "data", "priority", "tags", "created_by_user_id", "created_by_application_id")
    assert [getattr(second, name) for name in given] == [getattr(first, name) for name in given]
    assert (second.schedule_id, second.retry_for_task_ids) == (first.schedule_id, (first.id,))
    assert len(await harness.flaky_tasks()) == 2


async def test_a_retry_waits_for_its_time(harness: RetryHarness) -> None:
    await harness.deploy(RetryPolicy(enabled=True))
    first = await harness.run(ONCE)
    await harness.pass_time(RETRY_DELAYS_MS[0] - 1)
    other = await harness.run(b'{"failures": 0}')  # went through the queue after the clock had moved
    assert other.status is Status.COMPLETE
    assert (await harness.store.get(first.retried_by_task_id or "")).status is Status.NEW
    await harness.pass_time(1)
    await harness.ended(first.retried_by_task_id)


@pytest.mark.parametrize(
    ("policy", "status"),
    [
        (RetryPolicy(enabled=True, errors_to_retry=("Other", "WardClosed")), Status.RETRIED),
        (RetryPolicy(enabled=True, errors_to_retry=("Other", "wardclosed")), Status.FAILED),
        (RetryPolicy(enabled=False, errors_to_retry=("WardClosed",)), Status.FAILED),
        (RetryPolicy(), Status.FAILED),
    ],
)
async def test_the_policy_decides_which_errors_are_tried_again(
    harness: RetryHarness, policy: RetryPolicy, status: Status
) -> None:
    await harness.deploy(policy)
    task = await harness.run(ALWAYS)
    assert task.status is status
    assert (task.retried_by_task_id is None) == (status is Status.FAILED)


async def test_the_policy_that_counts_is_the_one_at_the_time_of_the_failure(harness: RetryHarness) -> None:
    await harness.deploy(RetryPolicy(enabled=True))
    first = await harness.run(ALWAYS)
    await harness.deploy(RetryPolicy())
    await harness.pass_time(RETRY_DELAYS_MS[0])
    assert (await harness.ended(first.retried_by_task_id)).status is Status.FAILED


async def test_what_could_not_be_invoked_is_tried_again_too(harness: RetryHarness) -> None:
    await harness.deploy(RetryPolicy(enabled=True, errors_to_retry=("FUNCTION_DISABLED",)), enabled=False)
    first = await harness.run(b'{"failures": 0}')
    assert first.error is not None
    assert (first.status, first.error.type) == (Status.RETRIED, ErrorType.INVOCATION)
    await harness.deploy(RetryPolicy())
    await harness.pass_time(RETRY_DELAYS_MS[0])
    assert (await harness.ended(first.retried_by_task_id)).status is Status.COMPLETE


async def test_a_retry_that_is_canceled_is_the_end_of_it(harness: RetryHarness) -> None:
    await harness.deploy(RetryPolicy(enabled=True))
    first = await harness.run(ALWAYS)
    canceled = await harness.store.cancel(first.retried_by_task_id or "")
    assert canceled.retry_for_task_ids == (first.id,)
    await harness.pass_time(10**6)
    assert len(await harness.flaky_tasks()) == 2


async def test_the_end_of_a_task_and_its_retry_are_one_frame_of_the_journal(harness: RetryHarness) -> None:
    await harness.deploy(RetryPolicy(enabled=True))
    first = await harness.run(ALWAYS)
    frames = [decode_events(payload) for _, payload in Replay(segments(harness.journal)[0])]
    [frame] = [frame for frame in frames if any(isinstance(event, Retried) for event in frame)]
    retried, added = frame
    assert isinstance(retried, Retried)
    assert isinstance(added, Added)
    assert (retried.task_id, retried.successor_id) == (first.id, added.tasks[0].id)
