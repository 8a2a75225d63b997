"""Claim, invoke, settle, with the real store and the AWS runtime against an endpoint that behaves as it is told."""

import asyncio
import json
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.aws.lambda_server import BEHAVIOURS, Behaviour, LambdaServer, Request, answer, error, fixed, running_lambda
from support.daemon.shifted_clock import ShiftedClock
from support.store.views import in_progress

from taskd.execution.backoff import FunctionPauses, InFlightLimit
from taskd.execution.runner import Runner
from taskd.execution.settings import DispatchSettings
from taskd.maintenance.reaper import Reaper
from taskd.model.function import Function, RetryPolicy
from taskd.model.status import FINAL, Status
from taskd.model.task import Task, TaskDraft
from taskd.rql.parser import parse
from taskd.runtime.aws.runtime import AwsRuntime
from taskd.runtime.aws.settings import AwsSettings
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore
from taskd.system import background

HOUR_MS = 3_600_000


class RunnerHarness:
    """A store, a runtime and a runner, put together as the daemon does it."""

    def __init__(self, data: Path, url: str, max_in_flight: int = 16) -> None:
        self.fatal: list[BaseException] = []
        self.clock = ShiftedClock(data / "clock")
        self.store = EmbeddedStore(StoreSettings(data=str(data)), self.clock, self.fatal.append)
        self.runtime = AwsRuntime(AwsSettings(region="eu-west-1", endpoint_url=url))
        self.reaper = Reaper(self.store, on_fatal=self.fatal.append)
        self.runner = Runner(
            self.store,
            self.runtime,
            DispatchSettings(max_in_flight=max_in_flight),
            clock=self.clock,
            on_fatal=self.fatal.append,
        )

    async def start(self) -> None:
        await self.store.start()
        await self.runtime.start([])
        await self.reaper.start()
        await self.runner.start()

    async def stop(self) -> None:
        await self.reaper.stop()
        await self.runner.drain(0)
        await self.runtime.stop()
        await self.runner.join()
        await self.store.stop()
        self.clock.close()
        assert not self.fatal

    async def add(self, function_name: str, count: int = 1, priority: int = 0) -> list[Task]:
        draft = TaskDraft(function_name, b'{"a": 1}', self.clock(), priority)
        return await self.store.add([draft] * count)

    async def settled(self, task: Task) -> Task:
        async with asyncio.timeout(30):
            while (now := await self.store.get(task.id)).status not in FINAL:
                await asyncio.sleep(0.005)
        return now


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not a secret")


@pytest.fixture
async def server() -> AsyncIterator[LambdaServer]:
    async with running_lambda() as server:
        yield server


@asynccontextmanager
async def running_harness(data: Path, server: LambdaServer, max_in_flight: int = 16) -> AsyncIterator[RunnerHarness]:
    harness = RunnerHarness(data, server.url, max_in_flight)
    await harness.start()
    try:
        yield harness
    finally:
        await harness.stop()


async def test_a_function_gets_the_task_in_progress_as_its_event(server: LambdaServer, tmp_path: Path) -> None:
    async with running_harness(tmp_path, server) as harness:
        [task] = await harness.add("echo", priority=3)
        assert (await harness.settled(task)).status is Status.COMPLETE
    event = json.loads(server.requests[0].body)
    assert event["id"] == task.id
    assert (event["status"], event["priority"], event["data"]) == ("inProgress", 3, {"a": 1})
    assert b'"data":{"a": 1}' in server.requests[0].body


@pytest.mark.parametrize(
    ("function_name", "kind", "name"),
    [
        ("function-error", "runtime", "ValueError"),
        ("missing", "invocation", "ResourceNotFoundException"),
        ("service-error", "invocation", "ServiceException"),
        ("reset", "invocation", "zombieTaskCleaned"),
        ("reset-in-body", "invocation", "zombieTaskCleaned"),
        ("huge", "runtime", "Function.ResponseSizeTooLarge"),
    ],
)
async def test_a_bad_end_is_told_by_its_type_and_name_and_is_not_tried_again(
    server: LambdaServer, tmp_path: Path, function_name: str, kind: str, name: str
) -> None:
    async with running_harness(tmp_path, server) as harness:
        [task] = await harness.add(function_name)
        failed = await harness.settled(task)
    assert failed.status is Status.FAILED
    assert failed.error is not None
    assert failed.error.type == kind
    assert failed.error.name == name or kind == "runtime"
    assert max(server.runs.values()) == 1


async def test_a_throttled_task_is_run_when_the_throttling_ends(
    server: LambdaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = 3
    refusal = answer(
        429,
        b'{"Reason": "ReservedFunctionConcurrentInvocationLimitExceeded"}',
        {"x-amzn-ErrorType": "TooManyRequestsException"},
    )

    async def refuse_at_first(server: LambdaServer, request: Request, writer: asyncio.StreamWriter) -> bool:
        writer.write(refusal if len(server.requests) <= refusals else answer(200, b"{}"))
        return True

    monkeypatch.setitem(BEHAVIOURS, "later", refuse_at_first)
    async with running_harness(tmp_path, server) as harness:
        [task] = await harness.add("later")
        done = await harness.settled(task)
        assert harness.runner.allowed == 16, "one function's limit leaves the others' room alone"
    assert done.status is Status.COMPLETE
    assert len(server.requests) == refusals + 1


async def refused_at_first(harness: RunnerHarness, refusal: Behaviour, monkeypatch: pytest.MonkeyPatch) -> Task:
    """A task that was refused once; there is one more refusal to come."""
    refusals = iter(range(2))

    async def behave(server: LambdaServer, request: Request, writer: asyncio.StreamWriter) -> bool:
        if next(refusals, None) is not None:
            return await refusal(server, request, writer)
        writer.write(answer(200, b"{}"))
        return True

    monkeypatch.setitem(BEHAVIOURS, "later", behave)
    [task] = await harness.add("later")
    await requeued(harness, [task])
    return task


async def requeued(harness: RunnerHarness, tasks: list[Task]) -> None:
    """Returns when one of the tasks was refused."""
    async with asyncio.timeout(10):
        while not any([(await harness.store.get(task.id)).not_before_ms for task in tasks]):
            await asyncio.sleep(0.005)


async def test_a_clock_that_is_set_back_does_not_prolong_the_pause_of_a_function(
    server: LambdaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = error(429, "TooManyRequestsException", {"Reason": "ReservedFunctionConcurrentInvocationLimitExceeded"})
    async with running_harness(tmp_path, server) as harness:
        await refused_at_first(harness, refusal, monkeypatch)
        harness.clock.jump(-HOUR_MS)
        [task] = await harness.add("later")
        assert (await harness.settled(task)).status is Status.COMPLETE


async def test_a_clock_that_is_set_ahead_does_not_use_up_the_wait_for_a_function(
    server: LambdaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = error(409, "ResourceConflictException", {"Message": "The function is in the state: Pending"})
    async with running_harness(tmp_path, server) as harness:
        task = await refused_at_first(harness, refusal, monkeypatch)
        harness.clock.jump(HOUR_MS)
        assert (await harness.settled(task)).status is Status.COMPLETE


async def test_throttling_of_the_account_shrinks_the_limit(server: LambdaServer, tmp_path: Path) -> None:
    async with running_harness(tmp_path, server) as harness:
        [task] = await harness.add("account-concurrency")
        await server.wait_for_requests(1)
        async with asyncio.timeout(10):
            while harness.runner.allowed == 16:
                await asyncio.sleep(0.005)
        assert harness.runner.allowed == 8
        assert (await harness.store.get(task.id)).status in (Status.NEW, Status.IN_PROGRESS)


async def test_a_throttled_function_does_not_hold_up_another(server: LambdaServer, tmp_path: Path) -> None:
    async with running_harness(tmp_path, server, max_in_flight=4) as harness:
        await harness.add("reserved-rate", count=20, priority=100)
        tasks = await harness.add("echo", count=20)
        assert {(await harness.settled(task)).status for task in tasks} == {Status.COMPLETE}


async def test_the_success_of_a_call_ends_a_pause_at_once(
    server: LambdaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = error(429, "TooManyRequestsException", {}, {"Retry-After": "600"})
    behaviours, well = iter([BEHAVIOURS["held"], refusal]), fixed(answer(200, b"{}"))

    async def behave(server: LambdaServer, request: Request, writer: asyncio.StreamWriter) -> bool:
        return await next(behaviours, well)(server, request, writer)

    monkeypatch.setitem(BEHAVIOURS, "later", behave)
    monkeypatch.setattr(background, "LOOK_AGAIN_S", 3600.0)  # nothing is found by looking now and then
    async with running_harness(tmp_path, server) as harness:
        tasks = await harness.add("later", count=2)
        await server.wait_for_requests(2)
        await requeued(harness, tasks)
        [held_back] = await harness.add("later")
        server.release.set()
        assert (await harness.settled(held_back)).status is Status.COMPLETE


async def test_the_tasks_of_a_function_that_was_just_refused_are_not_claimed(
    server: LambdaServer, tmp_path: Path
) -> None:
    async with running_harness(tmp_path, server, max_in_flight=1) as harness:
        first, second = await harness.add("reserved-concurrency", count=2)
        await requeued(harness, [first])
        assert await harness.store.get(second.id) == second
    assert len(server.requests) == 1


async def test_no_more_calls_are_in_flight_than_allowed(server: LambdaServer, tmp_path: Path) -> None:
    async with running_harness(tmp_path, server, max_in_flight=5) as harness:
        tasks = await harness.add("held", count=12)
        await server.wait_for_requests(5)
        assert harness.runner.in_flight == 5
        assert len(await in_progress(harness.store)) == 5
        server.release.set()
        assert {(await harness.settled(task)).status for task in tasks} == {Status.COMPLETE}
    assert max(server.runs.values()) == 1


async def test_draining_claims_nothing_more_and_waits_for_what_runs(server: LambdaServer, tmp_path: Path) -> None:
    async with running_harness(tmp_path, server, max_in_flight=1) as harness:
        first, second = await harness.add("held", count=2)
        await server.wait_for_requests(1)
        draining = asyncio.create_task(harness.runner.drain(30))
        await asyncio.sleep(0)
        server.release.set()
        assert await draining == 0
        assert (await harness.store.get(first.id)).status is Status.COMPLETE
        assert (await harness.store.get(second.id)).status is Status.NEW
    assert len(server.requests) == 1


async def test_orphans_of_an_earlier_process_are_zombies_and_not_run(server: LambdaServer, tmp_path: Path) -> None:
    store = EmbeddedStore(StoreSettings(data=str(tmp_path)))
    await store.start()
    orphans = await store.add([TaskDraft("echo", b"{}", 0)] * 3)
    policy = RetryPolicy(enabled=True)
    await store.put_function(Function("retrying", "h", "python3.11", 0, "v", retry_policy=policy), None)
    [retrying] = await store.add([TaskDraft("retrying", b"{}", 0)])
    assert len(await store.claim(10)) == 4
    await store.stop()
    async with running_harness(tmp_path, server) as harness:
        for orphan in orphans:
            found = await harness.store.get(orphan.id)
            assert found.error is not None
            assert (found.status, found.error.name) == (Status.FAILED, "zombieTaskCleaned")
        assert (await harness.store.get(retrying.id)).status is Status.RETRIED, "its policy asks for it, as a new task"
        assert (await harness.store.find(parse("status=new"))).total == 1
    assert not server.requests


async def test_while_nothing_can_be_reached_little_is_tried(tmp_path: Path) -> None:
    """Each try is written to the journal: a long backlog would fill it for as long as the trouble lasts."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    harness = RunnerHarness(tmp_path, url)
    await harness.start()
    tasks = [task for number in range(50) for task in await harness.add(f"function-{number}", 20)]

    async def tried() -> int:
        now = [await harness.store.get(task.id) for task in tasks]
        return sum(task.status_changed_ms > task.creation_ms for task in now)

    async with asyncio.timeout(30):
        while (count := await tried()) <= 16:  # until some were tried, and later some again
            await asyncio.sleep(0.005)
    await harness.stop()
    assert count < 100


async def test_what_cannot_be_reached_is_waited_for(tmp_path: Path) -> None:
    async with running_lambda() as server:
        pass  # its port is closed now
    async with running_harness(tmp_path, server) as harness:
        [task] = await harness.add("echo")
        async with asyncio.timeout(10):
            while (await harness.store.get(task.id)).not_before_ms == 0:
                await asyncio.sleep(0.005)
        assert (await harness.store.get(task.id)).status is Status.NEW


def test_the_limit_halves_once_a_burst_and_comes_back_a_call_a_round() -> None:
    limit = InFlightLimit(100)
    for _ in range(50):
        limit.refused(10_000)
    assert limit.allowed == 50
    limit.refused(11_000)
    assert limit.allowed == 25
    for _ in range(26):
        limit.succeeded()
    assert limit.allowed == 26
    for _ in range(100_000):
        limit.succeeded()
    assert limit.allowed == 100
    for burst in range(20):
        limit.refused(100_000 + burst * 1_000)
    assert limit.allowed == 1


def test_pauses_of_a_function_grow_while_it_is_refused_and_end_with_a_success() -> None:
    pauses = FunctionPauses(random.Random(1))
    now_ms, lengths = 0, []
    for _ in range(12):
        lengths.append(pauses.refused("f", now_ms, None))
        assert pauses.wait_ms("f", now_ms) is not None
        assert pauses.wait_ms("g", now_ms) is None
        now_ms += lengths[-1] + 20_000
    assert lengths[0] <= 200
    assert 10_000 <= lengths[-1] <= 20_000
    assert pauses.refused("f", now_ms, 60.0) >= 60_000
    pauses.succeeded("f")
    assert pauses.wait_ms("f", now_ms) is None


def test_a_function_is_waited_for_from_when_it_was_first_not_ready_until_a_call_gets_through() -> None:
    pauses = FunctionPauses(random.Random(1))
    assert pauses.not_ready_for_ms("f", 1_000) == 0
    assert pauses.not_ready_for_ms("g", 5_000) == 0
    assert pauses.not_ready_for_ms("f", 9_000) == 8_000
    pauses.succeeded("f")
    assert pauses.not_ready_for_ms("f", 20_000) == 0


async def test_a_function_that_does_not_become_ready_fails_its_tasks_in_the_end(
    server: LambdaServer, tmp_path: Path
) -> None:
    async with running_harness(tmp_path, server) as harness:
        steady_ms = int(asyncio.get_running_loop().time() * 1000)
        harness.runner._pauses.not_ready_for_ms("pending", steady_ms - 700_000)
        [task] = await harness.add("pending")
        failed = await harness.settled(task)
    assert failed.error is not None
    assert (failed.status, failed.error.name) == (Status.FAILED, "ResourceConflictException")
    assert "did not become ready" in failed.error.message
