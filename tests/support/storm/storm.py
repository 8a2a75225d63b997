"""A storm: clients that keep a ledger, functions that log each run, schedules, and faults injected at random.

Everything random comes from one seed, which failures name. ``python -m benchmarks.soak`` runs it for as long as wanted.
"""

import asyncio
import base64
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, ClientTimeout
from support.daemon import shifted_clock
from support.daemon.process import DaemonProcess
from support.daemon.shifted_clock import ShiftedClock
from support.disk.full_disk import NoMountError, small_disk_at
from support.power_cut.recorded_disk import KILL_SIGNAL, RecordedDisk
from support.storm import faults
from support.storm.clients import FUNCTION, Client, unique_key
from support.storm.faults import Fault
from support.storm.ledger import Ledger, ServiceState
from support.storm.operations import Operations
from support.storm.run_log import RUN_LOGGER, RunLog
from support.storm.schedule_grid import Record, moment_ms
from support.storm.start_rules import INTERVAL_MS, RULES, THROTTLED, TIME_LIMIT_S
from support.storm.told import Told
from support.storm.unique import TAG, verify_alone

CLIENTS = 8
PAGE = 100
IMMEDIATE_PROBABILITY = 0.3
"""How probably a fault is injected at once after another."""
MINUTE_MS = 60_000
MINUTE_PROBABILITY = 0.4
"""How probably it is soon the next minute once all is well."""
MINUTE_LEAD_MS = 200
"""So soon before a minute is over: a fault that comes at once may come first."""
INTERVALS_S = (0.1, 0.35, 1.0, 2.5)
"""Of the schedules of a storm."""
TIMES: tuple[Record, ...] = (
    *({"interval": interval_s} for interval_s in INTERVALS_S),
    {"cron": "* * * * *"},
    {"cron": "*/7 * * * *", "timeZone": "Europe/Brussels", "catchUpSeconds": 86_400},
)
"""When the schedules of a storm are due: also each minute, and with every time that has passed made up for."""
SCHEDULE_DELAY_MAX_MS = 1_500
"""How late a schedule may be while all is well."""
RECOVERY_TIMEOUT_S = 30
END_TIMEOUT_S = 60
THROTTLED_AT_ONCE = 3
"""So many tasks wait for the throttle from the beginning."""
LIVE_UNIQUE = f"?in(status,new,inProgress)&eq(tags,{TAG})&limit({PAGE})"
"""One page, so that it shows one moment."""
STEP_MS = INTERVAL_MS
"""In so large steps time passes at the end, until nothing waits for a start rule any more."""
CONFIG = """
[local]
max_sandboxes = 6
[log]
level = "warning"
[dispatch]
grace_s = 2
[webhooks]
allow_networks = ["127.0.0.1"]
"""
DISK_MIB = 32
"""Of a small disk for a storm."""
LOG_TAIL_CHARS = 8_000


class Storm:
    """A daemon, its clients and the faults injected into it."""

    retried_errors: frozenset[str] = frozenset({"Flaky"})
    """Errors that the retry policy of the function covers; its second attempt succeeds."""
    has_rules = True
    """Whether there are functions with start rules, too."""

    def __init__(
        self,
        directory: Path,
        seed: int,
        *,
        disk: Path | None = None,
        config: str = CONFIG,
        environment: Mapping[str, str] | None = None,
        recorded: bool = False,
    ) -> None:
        """``disk`` is a small file system for the data; without one, it is never filled.

        What the daemon does to its disk is ``recorded`` for as long as no power cut forgets it: not for a long storm.
        """
        self.seed = seed
        self.disk = disk
        self.rng = random.Random(f"{seed} faults")
        self._minutes = random.Random(f"{seed} minutes")
        self.clock = ShiftedClock(directory / "clock")
        self.run_log = RunLog(directory / "run-log")
        self.ledger = Ledger(self.clock)
        self.faults: Sequence[Fault] = [*faults.ON_ANY_RUNTIME, *faults.ON_THE_LOCAL_RUNTIME]
        """What may be injected; the seed says in which order."""
        self.injected: list[str] = []
        program = ("-P", shifted_clock.__file__, str(self.clock.path))
        home = disk or directory / "home"
        home.mkdir(exist_ok=True)
        self.recorded_disk = RecordedDisk(home, directory / "traces") if recorded else None
        environment = {**(environment or {}), **(self.recorded_disk.environment if self.recorded_disk else {})}
        self.daemon = DaemonProcess(directory, config, program=program, environment=environment)
        self.daemon.data = home / "data"
        if self.recorded_disk is not None:
            self.daemon.kill_signal = KILL_SIGNAL
        self._told = Told() if "allow_networks" in config else None
        """Who is told of every end, where the daemon may call this machine."""
        self._operations = Operations(self.call_own, self.ledger)
        self._stopping = asyncio.Event()
        self._schedules: list[str] = []

    async def run(self, fault_count: int, pause_s: float = 0.5) -> None:
        """Clients work while so many faults are injected; what they were told is verified between them, and at the end.

        Now and then the next one is injected at once, when the service may not have recovered from the last.
        """
        async with self._started(), self._clients_working():
            for fault in self._fault_sequence(fault_count):
                self.injected.append(fault.name)
                await self._operations.begin()
                await fault.inject(self)
                if self.rng.random() < IMMEDIATE_PROBABILITY:
                    continue
                await self.verify()
                self._begin_minute()
                await asyncio.sleep(self.rng.random() * pause_s)

    def _begin_minute(self) -> None:
        """Now and then it is soon the next minute, so that cron is due."""
        if self._minutes.random() < MINUTE_PROBABILITY:
            self.clock.jump(max(0, MINUTE_MS - self.clock() % MINUTE_MS - MINUTE_LEAD_MS))

    async def run_undisturbed(
        self, duration_s: float, measure: Callable[[], Awaitable[None]], interval_s: float
    ) -> None:
        """Clients work undisturbed, and ``measure`` is called now and then: for leaks, which a restart would hide."""
        async with self._started(), self._clients_working():
            ends_s = time.monotonic() + duration_s
            while time.monotonic() < ends_s:
                await asyncio.sleep(interval_s)
                await measure()

    def _fault_sequence(self, fault_count: int) -> Iterator[Fault]:
        """Every fault that is possible here once, in random order, then all again in another."""
        possible = [fault for fault in self.faults if fault.is_possible(self)]
        for number in range(fault_count):
            if number % len(possible) == 0:
                self.rng.shuffle(possible)
            yield possible[number % len(possible)]

    @asynccontextmanager
    async def _started(self) -> AsyncIterator[None]:
        await self.daemon.start()
        async with AsyncExitStack() as stack:
            self._session = await stack.enter_async_context(ClientSession(timeout=ClientTimeout(total=30)))
            await self.deploy()
            if self._told is not None:
                await stack.enter_async_context(self._told)
                self._webhook = (await self.call_own("POST", "/webhooks", self._told.webhook))["id"]
            await self.add_schedules()
            yield
        assert await self.daemon.stop() == 0

    @asynccontextmanager
    async def _clients_working(self) -> AsyncIterator[None]:
        """Clients work meanwhile; at the end all tasks come to theirs, and the ledger is verified."""
        clients = [asyncio.create_task(self._client(number).work(self._stopping)) for number in range(CLIENTS)]
        try:
            yield
            self._stopping.set()
            await asyncio.gather(*clients)
        finally:
            for client in clients:
                client.cancel()
        await self._finish()

    def _client(self, number: int) -> Client:
        rng = random.Random(f"{self.seed} client {number}")
        return Client(self, self.ledger, self.clock, rng, self._operations, has_rules=self.has_rules)

    async def verify(self) -> None:
        """Asserts that what was due gets its turn, and that the ledger and the service agree, while clients go on.

        What start rules hold back is waited for at the end alone.
        """
        # What had to wait for a second attempt when the clock was set back waits until then by that clock.
        due_ms = self.clock()
        await self._wait_until_none(
            lambda: (
                f"and(eq(functionName,{FUNCTION}),eq(status,new),le(startTimestamp,{due_ms}),"
                f"le(statusChangedTimestamp,{due_ms}))"
            )
        )
        verify_alone((await self.call_ok("GET", LIVE_UNIQUE))["data"])
        await self._verify(await self._schedules_in_time())

    async def _verify(self, schedules: Sequence[Record]) -> dict[str, Record]:
        """Compares the ledger with the state from now on; gives the tasks."""
        acknowledged = self.ledger.acknowledged()
        runs = self.run_log.counts()
        state = ServiceState(runs, schedules, await self._all_tasks(), self.run_log.runs())
        self.ledger.verify(acknowledged, state)
        return state.tasks

    async def _finish(self) -> None:
        """What is due comes to its end; then it becomes time for the rest, and no schedule fires any more."""
        await self.verify()
        removed = await self._remove_schedules()
        await self._wait_until_operated()
        known = await self._all_tasks()
        await self._operations.verify(known)
        last_ms = max(moment_ms(task, "startTimestamp") for task in known.values())
        self.clock.jump(max(0, last_ms - self.clock()) + 1)
        await self._wait_until_none(lambda: "in(status,new,inProgress)", step_ms=STEP_MS)
        tasks = await self._verify(removed)
        made = [task for task in tasks.values() if task["id"] not in known and "retryForTaskIds" not in task]
        assert not made, f"made by nobody: {made}"
        assert any(task["status"] == "complete" for task in tasks.values()), "nothing ran at all"
        self.ledger.verify_final(tasks, self.retried_errors)
        if self._told is not None:
            await self._wait_until_told(self._told, len(tasks))
            self._told.verify(tasks)

    async def _wait_until_operated(self) -> None:
        """Returns when no operation goes on."""
        async with asyncio.timeout(END_TIMEOUT_S):
            while not await self._operations.are_over():
                await asyncio.sleep(0.1)

    async def _wait_until_told(self, told: Told, count: int) -> None:
        """Returns when nothing waits to be delivered; it becomes time for what is to be tried again."""
        path = f"/webhooks/{self._webhook}/deliveries?status=waiting&sort(nextTimestamp)&limit(1)"
        async with asyncio.timeout(END_TIMEOUT_S):
            while (waiting := (await self.call_own("GET", path))["data"]) or told.count < count:
                if waiting:
                    self.clock.jump(max(0, moment_ms(waiting[0], "nextTimestamp") - self.clock()))
                await asyncio.sleep(0.1)

    async def call_own(self, method: str, path: str, body: object = None) -> Any:
        """The answer to a call of ours, which must succeed."""
        async with self._session.request(method, f"{self.daemon.url}/taskd/v1{path}", json=body) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """See ``TaskApi``."""
        async with self._session.request(method, f"{self.daemon.url}/tasks/v1{path}", json=body) as response:
            return response.status, json.loads(await response.text())

    async def call_ok(self, method: str, path: str, body: object = None) -> Any:
        """The answer to a call that must succeed."""
        status, answer = await self.call(method, path, body)
        assert status == 200, answer
        return answer

    async def get_text(self, path: str) -> str:
        """What the daemon says of itself under a path of its own."""
        async with self._session.get(f"{self.daemon.url}{path}") as response:
            assert response.status in (200, 503)
            return await response.text()

    async def health(self) -> Record:
        """What ``/health`` says."""
        return dict(json.loads(await self.get_text("/health")))

    async def create(self, **body: Any) -> tuple[int, Any]:
        """A task of the storm's own; gives the status and the JSON of the answer."""
        return await self._client(CLIENTS).create(**body)

    async def ended(self, task_id: str) -> Record:
        """A task, as soon as it has come to its end."""
        await self._wait_until_none(lambda: f"and(eq(id,{task_id}),in(status,new,inProgress))")
        return dict((await self.call_ok("GET", f"?id={task_id}"))["data"][0])

    async def wait_until_idle(self) -> None:
        """Returns when nothing runs, as far as the daemon knows."""
        await self._wait_until_none(lambda: "eq(status,inProgress)")

    async def deploy(self) -> None:
        """Makes the functions known."""
        body = {
            "runtime": "python3.11",
            "entryPoint": "index.handler",
            "code": base64.b64encode(RUN_LOGGER).decode(),
            "environmentVariables": {"RUN_LOG": {"value": str(self.run_log.path)}},
            "retryPolicy": {"enabled": True, "errorsToRetry": sorted(self.retried_errors)},
        }
        await self.call_ok("POST", "/functions", {"name": FUNCTION, **body})
        for name, options in RULES.items():
            rules = {"timeLimit": TIME_LIMIT_S, "executionOptions": options}
            await self.call_ok("POST", "/functions", {"name": name, **body, **rules})
        for _ in range(THROTTLED_AT_ONCE):
            data = unique_key() | {"ms": 0, "fails": False}
            await self.create(functionName=THROTTLED, data=data)

    async def add_schedules(self) -> None:
        """One of each kind, from now on."""
        for times in TIMES:
            data = unique_key() | {"ms": 0, "fails": self.rng.random() < 0.1}
            body = {"functionName": FUNCTION, **times, "data": data, "priority": 1}
            self._schedules.append((await self.call_ok("POST", "/schedules", body))["id"])

    async def _schedules_in_time(self) -> list[Record]:
        """All schedules, as soon as none is late."""
        async with asyncio.timeout(RECOVERY_TIMEOUT_S):
            while True:
                since_ms = self.clock() - SCHEDULE_DELAY_MAX_MS
                found = (await self.call_ok("GET", f"/schedules?limit({PAGE})"))["data"]
                assert [schedule["id"] for schedule in found] == self._schedules
                if all(moment_ms(schedule, "nextTimestamp") >= since_ms for schedule in found):
                    return list(found)
                await asyncio.sleep(0.05)

    async def _remove_schedules(self) -> list[Record]:
        """No schedule makes any more tasks; gives the schedules as they were."""
        schedules = await self._schedules_in_time()
        for schedule in schedules:
            await self.call_ok("DELETE", f"/schedules/{schedule['id']}")
        return schedules

    async def _all_tasks(self) -> dict[str, Record]:
        found: dict[str, Record] = {}
        while True:
            page = await self.call_ok("GET", f"?limit({PAGE},{len(found)})")
            found |= {task["id"]: task for task in page["data"]}
            if len(page["data"]) < PAGE:
                return found

    async def _wait_until_none(self, query: Callable[[], str], step_ms: int = 0) -> None:
        """Returns when a query, made anew each time, finds no task any more; meanwhile time passes in such steps."""
        found: Record = {}
        try:
            async with asyncio.timeout(END_TIMEOUT_S):
                while (found := await self.call_ok("GET", f"?{query()}&limit(3)"))["page"]["total"]:
                    self.clock.jump(step_ms)
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"after {END_TIMEOUT_S} s these have not ended: {found}") from None


async def run_storm(storm: Storm, fault_count: int) -> None:
    """Runs the storm; an error gets a note with the seed, the faults injected, and the end of the daemon's log."""
    try:
        await storm.run(fault_count)
    except BaseException as error:
        log = storm.daemon.log.read_text()[-LOG_TAIL_CHARS:]
        error.add_note(f"seed {storm.seed}, after {storm.injected}; the daemon said:\n{log}")
        raise
    finally:
        if storm.daemon.process.returncode is None:
            await storm.daemon.kill()
        storm.clock.close()


@contextmanager
def disk_for(directory: Path) -> Iterator[Path | None]:
    """A small disk below ``directory``, where one can be made."""
    with ExitStack() as stack:
        try:
            disk: Path | None = stack.enter_context(small_disk_at(directory / "disk", DISK_MIB))
        except NoMountError:
            disk = None
        yield disk
