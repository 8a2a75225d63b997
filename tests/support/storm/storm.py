"""A storm: clients that keep books, functions that record each run, schedules, and faults that strike at random.

Everything random comes from one seed, which failures name. ``python -m benchmarks.soak`` runs it for as long as wanted.
"""

import asyncio
import base64
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, ClientTimeout
from support.daemon import shifted_clock
from support.daemon.process import DaemonProcess
from support.daemon.shifted_clock import ShiftedClock
from support.disk.full_disk import NoMountError, small_disk_at
from support.power_cut.recorded_disk import KILL_SIGNAL, RecordedDisk
from support.storm import faults
from support.storm.clients import Client, a_key
from support.storm.faults import Fault
from support.storm.ledger import Books, Seen
from support.storm.run_log import RECORDER, Ledger
from support.storm.schedule_grid import Record, moment_ms

CLIENTS = 8
PAGE = 100
AT_ONCE = 0.3
"""How probably a fault strikes at once after another."""
INTERVALS_S = (0.1, 0.35, 1.0, 2.5)
"""Of the schedules of a storm."""
AWAKE_MS = 1_500
"""How late a schedule may be while all is well."""
HEALS_WITHIN_S = 30
ENDS_WITHIN_S = 60
CONFIG = """
[local]
max_sandboxes = 4
[log]
level = "warning"
[dispatch]
grace_s = 2
"""
DISK_MIB = 32
"""Of a small disk for a storm."""
LOG_TAIL_CHARS = 8_000


class Storm:
    """A daemon, its clients and what befalls it."""

    retried_errors: frozenset[str] = frozenset({"Flaky"})
    """Errors that the retry policy of the function covers; its second attempt succeeds."""

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
        self.clock = ShiftedClock(directory / "clock")
        self.ledger = Ledger(directory / "ledger")
        self.books = Books(self.clock)
        self.faults: Sequence[Fault] = [*faults.ON_ANY_RUNTIME, *faults.ON_THE_LOCAL_RUNTIME]
        """What may strike; the seed says in which order."""
        self.struck: list[str] = []
        program = ("-P", shifted_clock.__file__, str(self.clock.path))
        home = disk or directory / "home"
        home.mkdir(exist_ok=True)
        self.record = RecordedDisk(home, directory / "traces") if recorded else None
        environment = {**(environment or {}), **(self.record.environment if self.record else {})}
        self.daemon = DaemonProcess(directory, config, program=program, environment=environment)
        self.daemon.data = home / "data"
        if self.record is not None:
            self.daemon.kill_signal = KILL_SIGNAL
        self._over = asyncio.Event()
        self._schedules: list[str] = []

    async def run(self, strikes: int, pause_s: float = 0.5) -> None:
        """Clients work while ``strikes`` faults strike; the books are compared between them, and at the end.

        Now and then the next one strikes at once, when the service may not have recovered from the last.
        """
        async with self._started(), self._working():
            for fault in self._order(strikes):
                self.struck.append(fault.name)
                await fault.strike(self)
                if self.rng.random() < AT_ONCE:
                    continue
                await self.compare()
                await asyncio.sleep(self.rng.random() * pause_s)

    async def run_quietly(self, duration_s: float, measure: Callable[[], Awaitable[None]], interval_s: float) -> None:
        """Clients work undisturbed, and ``measure`` is called now and then: for leaks, which a restart would hide."""
        async with self._started(), self._working():
            ends_s = time.monotonic() + duration_s
            while time.monotonic() < ends_s:
                await asyncio.sleep(interval_s)
                await measure()

    def _order(self, strikes: int) -> Iterator[Fault]:
        """Every fault that can strike here once, in random order, then all again in another."""
        possible = [fault for fault in self.faults if fault.can_strike(self)]
        for number in range(strikes):
            if number % len(possible) == 0:
                self.rng.shuffle(possible)
            yield possible[number % len(possible)]

    @asynccontextmanager
    async def _started(self) -> AsyncIterator[None]:
        await self.daemon.start()
        async with ClientSession(timeout=ClientTimeout(total=30)) as self._session:
            await self.deploy()
            await self.add_schedules()
            yield
        assert await self.daemon.stop() == 0

    @asynccontextmanager
    async def _working(self) -> AsyncIterator[None]:
        """Clients work meanwhile; at the end all tasks come to theirs, and the books are closed."""
        clients = [asyncio.create_task(self._client(number).work(self._over)) for number in range(CLIENTS)]
        try:
            yield
            self._over.set()
            await asyncio.gather(*clients)
        finally:
            for client in clients:
                client.cancel()
        await self._close()

    def _client(self, number: int) -> Client:
        return Client(self, self.books, self.clock, random.Random(f"{self.seed} client {number}"))

    async def compare(self) -> None:
        """Asserts that what was due gets its turn, and that the books and the service agree, while clients go on."""
        # What had to wait for a second attempt when the clock was set back waits until then by that clock.
        due_ms = self.clock()
        await self._none_left(
            lambda: f"and(eq(status,new),le(startTimestamp,{due_ms}),le(statusChangedTimestamp,{due_ms}))"
        )
        await self._compare(await self._awake())

    async def _compare(self, schedules: Sequence[Record]) -> dict[str, Record]:
        """Compares the books with what is seen from now on; gives the tasks."""
        created, canceled = set(self.books.created), set(self.books.canceled)
        runs = self.ledger.counts()
        seen = Seen(runs, schedules, await self._all_tasks(), self.ledger.runs())
        self.books.compare(created, canceled, seen)
        return seen.tasks

    async def _close(self) -> None:
        """What is due comes to its end; then it becomes time for the rest, and no schedule fires any more."""
        await self.compare()
        removed = await self._remove_schedules()
        known = await self._all_tasks()
        last_ms = max(moment_ms(task, "startTimestamp") for task in known.values())
        self.clock.jump(max(0, last_ms - self.clock()) + 1)
        await self._none_left(lambda: "in(status,new,inProgress)")
        tasks = await self._compare(removed)
        made = [task for task in tasks.values() if task["id"] not in known and "retryForTaskIds" not in task]
        assert not made, f"made by nobody: {made}"
        assert any(task["status"] == "complete" for task in tasks.values()), "nothing ran at all"
        self.books.close(tasks, self.retried_errors)

    async def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """See ``Service``."""
        async with self._session.request(method, f"{self.daemon.url}/tasks/v1{path}", json=body) as response:
            return response.status, json.loads(await response.text())

    async def done(self, method: str, path: str, body: object = None) -> Any:
        """The answer to a call that must succeed."""
        status, answer = await self.call(method, path, body)
        assert status == 200, answer
        return answer

    async def told(self, path: str) -> str:
        """What the daemon says of itself under a path of its own."""
        async with self._session.get(f"{self.daemon.url}{path}") as response:
            assert response.status in (200, 503)
            return await response.text()

    async def health(self) -> Record:
        """What ``/health`` says."""
        return dict(json.loads(await self.told("/health")))

    async def create(self, **body: Any) -> tuple[int, Any]:
        """A task of the storm's own; gives the status and the JSON of the answer."""
        return await self._client(CLIENTS).create(**body)

    async def ended(self, task_id: str) -> Record:
        """A task, as soon as it has come to its end."""
        await self._none_left(lambda: f"and(eq(id,{task_id}),in(status,new,inProgress))")
        return dict((await self.done("GET", f"?id={task_id}"))["data"][0])

    async def deploy(self) -> None:
        """Makes the function known."""
        body = {
            "name": "recorder",
            "runtime": "python3.11",
            "entryPoint": "index.handler",
            "code": base64.b64encode(RECORDER).decode(),
            "environmentVariables": {"LEDGER": {"value": str(self.ledger.path)}},
            "retryPolicy": {"enabled": True, "errorsToRetry": sorted(self.retried_errors)},
        }
        await self.done("POST", "/functions", body)

    async def add_schedules(self) -> None:
        """One of each interval, from now on."""
        for interval_s in INTERVALS_S:
            data = a_key() | {"ms": 0, "fails": self.rng.random() < 0.1}
            body = {"functionName": "recorder", "interval": interval_s, "data": data, "priority": 1}
            self._schedules.append((await self.done("POST", "/schedules", body))["id"])

    async def _awake(self) -> list[Record]:
        """All schedules, as soon as none is late."""
        async with asyncio.timeout(HEALS_WITHIN_S):
            while True:
                since_ms = self.clock() - AWAKE_MS
                found = (await self.done("GET", f"/schedules?limit({PAGE})"))["data"]
                assert [schedule["id"] for schedule in found] == self._schedules
                if all(moment_ms(schedule, "nextTimestamp") >= since_ms for schedule in found):
                    return list(found)
                await asyncio.sleep(0.05)

    async def _remove_schedules(self) -> list[Record]:
        """No schedule makes any more tasks; gives the schedules as they were."""
        schedules = await self._awake()
        for schedule in schedules:
            await self.done("DELETE", f"/schedules/{schedule['id']}")
        return schedules

    async def _all_tasks(self) -> dict[str, Record]:
        found: dict[str, Record] = {}
        while True:
            page = await self.done("GET", f"?limit({PAGE},{len(found)})")
            found |= {task["id"]: task for task in page["data"]}
            if len(page["data"]) < PAGE:
                return found

    async def _none_left(self, query: Callable[[], str]) -> None:
        """Returns when a query, made anew each time, finds no task any more."""
        found: Record = {}
        try:
            async with asyncio.timeout(ENDS_WITHIN_S):
                while (found := await self.done("GET", f"?{query()}&limit(3)"))["page"]["total"]:
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"after {ENDS_WITHIN_S} s these have not ended: {found}") from None


async def weather(storm: Storm, strikes: int) -> None:
    """Runs the storm; whatever goes wrong is told with the seed, what struck, and the daemon's last words."""
    try:
        await storm.run(strikes)
    except BaseException as error:
        log = storm.daemon.log.read_text()[-LOG_TAIL_CHARS:]
        error.add_note(f"seed {storm.seed}, after {storm.struck}; the daemon said:\n{log}")
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
