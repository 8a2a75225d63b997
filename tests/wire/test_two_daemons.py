"""Two daemons over one store: runners, schedulers, reapers and HTTP faces that know of each other by nothing else."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from aiohttp import ClientSession
from msgspec.structs import replace
from support.aws.environment import use_key
from support.aws.lambda_server import LambdaServer, running_lambda
from support.functions.local_runtime import eventually, local_harness
from support.functions.zips import python_zip
from support.http.error_shape import assert_error
from support.http.service import BASE, all_is_well
from support.store.memory_store import MemoryStore, SharedRecords

from taskd.api.app import build_app
from taskd.api.http.authentication import Authentication
from taskd.api.http.authorization import trust_everybody
from taskd.api.http.client_address import ClientAddresses
from taskd.api.http.server import serve
from taskd.api.settings import ServerSettings
from taskd.auth import account_changes
from taskd.auth.accounts import Accounts
from taskd.auth.refresh_rotation import RefreshRotation
from taskd.auth.replay_marks import ReplayMarks
from taskd.auth.service import AuthService
from taskd.auth.settings import AuthSettings
from taskd.execution.api_functions.call import ApiFunctions
from taskd.execution.deployment import Deployments
from taskd.execution.direct import DirectExecutions
from taskd.execution.runner import Runner
from taskd.execution.settings import DispatchSettings
from taskd.execution.synchronous import SynchronousCalls
from taskd.maintenance.reaper import Reaper
from taskd.model.clock import system_clock_ms
from taskd.model.errors import ALREADY_EXISTS, ContractError
from taskd.model.function import Function
from taskd.rql.parser import parse
from taskd.runtime.aws.runtime import AwsRuntime
from taskd.runtime.aws.settings import AwsSettings
from taskd.store.base import Change
from taskd.triggers.scheduler import Scheduler

T = TypeVar("T")

WITHIN_S = 30
IN_FLIGHT = 8


class SharedAccounts:
    """Accounts that all nodes have from one place, which tells them of changes; an ``AccountSource``."""

    def __init__(self, accounts: Accounts, directory: Path) -> None:
        self._accounts = accounts
        self._directory = directory
        self._callbacks: list[Callable[[], object]] = []

    def accounts(self) -> Accounts:
        return self._accounts

    def signing_key(self) -> bytes:
        return b"k" * 32

    def refresh_rotation(self) -> RefreshRotation:
        return RefreshRotation(self._directory / "logins.sqlite")

    def replay_marks(self) -> ReplayMarks:
        return ReplayMarks(self._directory / "oauth1.marks")

    def on_change(self, callback: Callable[[], object]) -> None:
        self._callbacks.append(callback)

    def change(self, edit: Callable[[Accounts], tuple[Accounts, T]]) -> tuple[Accounts, T]:
        self._accounts, given = edit(self._accounts)
        return self._accounts, given

    def put(self, accounts: Accounts) -> None:
        self._accounts = accounts
        for callback in self._callbacks:
            asyncio.get_running_loop().call_soon(callback)


class NodeDaemon:
    """One daemon, put together as ``taskd serve`` does it, but for what it stores in."""

    def __init__(self, shared: SharedRecords, host: str, url: str, accounts: SharedAccounts | None = None) -> None:
        self.fatal: list[BaseException] = []
        self.store = MemoryStore(shared, host)
        self.runtime = AwsRuntime(AwsSettings(region="eu-west-1", endpoint_url=url))
        self.calls = SynchronousCalls()
        settings = DispatchSettings(max_in_flight=IN_FLIGHT)
        self.runner = Runner(self.store, self.runtime, settings, on_fatal=self.fatal.append)
        self.scheduler = Scheduler(self.store, on_fatal=self.fatal.append)
        self.reaper = Reaper(self.store, on_fatal=self.fatal.append)
        execution = (self.store, self.runtime, settings, self.calls)
        self.auth = None if accounts is None else AuthService(AuthSettings(), accounts, self.store.now_ms)
        self.app = build_app(
            *(self.store, self.runtime, ServerSettings(), self.store.now_ms, all_is_well),
            executions=DirectExecutions(*execution),
            api_functions=ApiFunctions(*execution),
            authenticate=trust_everybody if self.auth is None else Authentication(self.auth, ClientAddresses(())),
            auth=self.auth,
        )
        self.client: ClientSession
        self._stack = AsyncExitStack()

    async def start(self) -> None:
        await self.store.start()
        if self.auth is not None:
            self.auth.start()
            self._stack.push_async_callback(self.auth.stop)
        await self.runtime.start(self.store.functions())
        self.store.on_change(Change.FUNCTIONS, lambda: self.runtime.learn(self.store.functions()))
        for service in (self.reaper, self.runner, self.scheduler):
            await service.start()
        runner, url = await serve(self.app, "127.0.0.1", 0)
        self._stack.push_async_callback(runner.cleanup)
        self.client = await self._stack.enter_async_context(ClientSession(url))

    async def stop(self) -> None:
        await asyncio.gather(self.reaper.stop(), self.scheduler.stop(), self.runner.drain(0), self.calls.drain(0))
        await self.runtime.stop()
        await asyncio.gather(self.runner.join(), self.calls.join())
        await self._stack.aclose()
        await self.store.stop()
        assert not self.fatal

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        async with self.client.request(method, BASE + path, json=body) as response:
            assert response.status == 200, await response.text()
            return await response.json()


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LambdaServer]:
    use_key(monkeypatch)
    async with running_lambda() as server:
        yield server


@asynccontextmanager
async def daemons(server: LambdaServer) -> AsyncIterator[tuple[NodeDaemon, NodeDaemon]]:
    shared = SharedRecords(system_clock_ms)
    pair = NodeDaemon(shared, "first", server.url), NodeDaemon(shared, "second", server.url)
    async with contextlib.AsyncExitStack() as stack:
        for daemon in pair:
            await daemon.start()
            stack.push_async_callback(daemon.stop)
        yield pair


async def ended(daemon: NodeDaemon, rql: str, count: int) -> None:
    """Returns when as many tasks as that match."""
    async with asyncio.timeout(WITHIN_S):
        while (await daemon.store.find(parse(rql))).total != count:
            await asyncio.sleep(0.01)


def runs_by_task(server: LambdaServer) -> Counter[str]:
    return Counter(json.loads(request.body)["id"] for request in server.requests)


async def test_tasks_of_both_run_once_on_either(server: LambdaServer) -> None:
    async with daemons(server) as (first, second):
        bodies = [{"functionName": "echo", "data": {"n": n}} for n in range(200)]
        created = await asyncio.gather(
            *((first, second)[n % 2].call("POST", "", body) for n, body in enumerate(bodies))
        )
        await ended(first, "status=complete", 200)
        assert runs_by_task(server) == Counter(task["id"] for task in created)
        listed = await second.call("GET", "?status=complete&limit(1)")
        assert listed["page"]["total"] == 200


async def test_a_schedule_makes_each_occurrence_once(server: LambdaServer) -> None:
    async with daemons(server) as (first, second):
        schedule = await first.call("POST", "/schedules", {"functionName": "echo", "interval": 0.1})
        async with asyncio.timeout(WITHIN_S):
            while len(server.requests) < 10:
                await asyncio.sleep(0.02)
        await second.call("DELETE", f"/schedules/{schedule['id']}")
        await ended(first, "in(status,new,inProgress)", 0)
        tasks = (await first.store.find(parse("limit(100)"))).rows
        starts = [task.start_ms for task in tasks]
        assert len(set(starts)) == len(starts), "no point of the grid twice"
        assert runs_by_task(server) == Counter(task.id for task in tasks)


async def test_a_function_that_one_disables_fails_on_the_other(server: LambdaServer) -> None:
    async with daemons(server) as (first, second):
        await first.store.put_function(Function("echo", "index.handler", "python3.11", 1, "v1"), None)
        await second.call("POST", "/functions/echo/disable")
        async with asyncio.timeout(WITHIN_S):
            while (await first.call("GET", "/functions/echo"))["enabled"]:
                await asyncio.sleep(0.01)
        await second.runner.drain(0)
        task = await second.call("POST", "", {"functionName": "echo"})
        await ended(first, "status=failed", 1)
        assert (await first.store.get(task["id"])).error.name == "FUNCTION_DISABLED"  # type: ignore[union-attr]
        assert server.requests == []


async def test_a_change_that_another_node_was_faster_than_is_made_anew(tmp_path: Path) -> None:
    shared = SharedRecords(system_clock_ms)
    here, there = MemoryStore(shared, "here"), MemoryStore(shared, "there")
    async with local_harness(tmp_path) as harness:
        deployed = await harness.deploy_python("def handler(event, context): return 1", name="f")
        await here.put_function(deployed, None)
        deployments, made_from = Deployments(here, harness.runtime), list[Function]()

        def disable(former: Function) -> Function:
            if not made_from:
                shared.functions["f"] = replace(former, description="changed there")
            made_from.append(former)
            return replace(former, enabled=False)

        await deployments.update("f", disable, None)
    assert [function.description for function in made_from] == ["", "changed there"]
    await there.start()
    function = there.function("f")
    assert function is not None
    assert (function.enabled, function.description) == (False, "changed there")


async def test_of_two_nodes_that_create_a_function_at_once_one_is_refused_and_spoils_nothing(tmp_path: Path) -> None:
    shared = SharedRecords(system_clock_ms)
    here = MemoryStore(shared, "here")
    theirs = Function("f", "index.handler", "python3.11", 1, "theirs")
    new, code = Function("f", "index.handler", "python3.11", 2, ""), python_zip("def handler(event, context): return 1")
    async with local_harness(tmp_path) as harness:
        deployments = Deployments(here, harness.runtime)
        shared.functions["f"] = theirs  # which nobody here has been told of yet
        with pytest.raises(ContractError) as raised:
            await deployments.create(new, code)
        assert raised.value.kind is ALREADY_EXISTS
        await eventually(lambda: not harness.versions("f"))
    assert shared.functions == {"f": theirs}


async def test_what_a_vanished_daemon_ran_is_settled_by_the_other_and_the_rest_goes_on(server: LambdaServer) -> None:
    shared = SharedRecords(system_clock_ms)
    first = NodeDaemon(shared, "first", server.url)
    await first.start()
    for _ in range(3 * IN_FLIGHT):
        await first.call("POST", "", {"functionName": "held"})
    await server.wait_for_requests(IN_FLIGHT)
    server.release.set()
    vanished = {json.loads(request.body)["id"] for request in server.requests[:IN_FLIGHT]}
    second = NodeDaemon(shared, "second", server.url)
    first.store.die()
    await second.start()
    await ended(second, "in(status,complete,failed)", 3 * IN_FLIGHT)
    failed = (await second.store.find(parse("status=failed&limit(100)"))).rows
    assert vanished == {task.id for task in failed}
    assert {task.error.name for task in failed if task.error} == {"zombieTaskCleaned"}
    assert set(runs_by_task(server).values()) == {1}
    await first.stop()
    await second.stop()


async def test_a_task_that_one_daemon_runs_is_not_canceled_over_the_other(server: LambdaServer) -> None:
    async with daemons(server) as (_, second):
        await second.runner.drain(0)
        task = await second.call("POST", "", {"functionName": "held"})
        await server.wait_for_requests(1)
        async with second.client.post(f"{BASE}/{task['id']}/cancel") as response:
            await assert_error(response, 27)
        server.release.set()
        await ended(second, "status=complete", 1)


async def test_a_token_that_is_made_or_revoked_counts_on_both(server: LambdaServer, tmp_path: Path) -> None:
    shared, accounts = SharedRecords(system_clock_ms), SharedAccounts(Accounts(), tmp_path)
    pair = [NodeDaemon(shared, host, server.url, accounts) for host in ("first", "second")]
    async with contextlib.AsyncExitStack() as stack:
        for daemon in pair:
            await daemon.start()
            stack.push_async_callback(daemon.stop)
        known = account_changes.add_user(Accounts(), "ada@example.com", "long enough", "Ada", "")
        known = account_changes.grant(known, "ada@example.com", ["VIEW_TASKS"])
        with_token, token = account_changes.add_token(known, "ci", "ada@example.com", ["VIEW_TASKS"], 0)
        for accounts_now, status in ((Accounts(), 401), (with_token, 200), (known, 401)):
            accounts.put(accounts_now)
            for daemon in pair:
                await answers(daemon, token, status)


async def answers(daemon: NodeDaemon, token: str, status: int) -> None:
    """Returns when a listing with the token is answered so."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            async with daemon.client.get(BASE, headers={"Authorization": f"Bearer {token}"}) as response:
                if response.status == status:
                    return
            await asyncio.sleep(0.01)
