"""Power cuts of the whole daemon: journal, catalogue, deployed code and accounts, under real clients.

A real daemon works, is killed and started again while everything that it does to its disk is recorded. For moments all
through the record the disk is rebuilt as a power cut could have left it, and must hold what clients had been told by
then. ``TASKD_POWER_STATES=<n>`` tries more states of a longer run, ``TASKD_POWER_SEED=<n>`` others.
"""

import asyncio
import logging
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from aiohttp import ClientSession
from support.daemon.process import DaemonProcess, api_of, running_daemon
from support.power_cut.checks import check
from support.power_cut.disk_model import Image, read_image, write_image
from support.power_cut.observations import KnownState, ObservationLog
from support.power_cut.recorded_disk import KILL_SIGNAL, RecordedDisk, TimedOperation, persistent_files
from support.power_cut.workload import CONFIG, Workload, create_once

pytestmark = pytest.mark.slow

STATES = int(os.environ.get("TASKD_POWER_STATES", "20"))
SEED = int(os.environ.get("TASKD_POWER_SEED", "1"))
LIFETIME_S = min(8.0, 0.6 + STATES / 50)
"""How long a daemon works before it is killed, on average."""
PROCESSES = 2
STARTS_EVERY = 10 if STATES <= 20 else 50
"""In every so many states a daemon starts again and brings tasks to their ends; in as many the power fails again."""
CUTS_OF_A_RECOVERY = 5
CREATED_AGAIN = 20
"""So many creations are asked for once more after a cut, under their keys."""
CONSEQUENTIAL = ("create", "mkdir", "rename", "unlink", "truncate", "synced")
"""Operations that a careless order shows at; many more are mere writes."""
RECOVER = """
import asyncio, os, sys
from taskd.store.embedded.store import EmbeddedStore
from taskd.store.embedded.settings import StoreSettings


async def main():
    store = EmbeddedStore(StoreSettings(data=sys.argv[1]))
    await store.start()
    await store.compact()
    await store._catalogue.caught_up()
    os._exit(0)

asyncio.run(main())
"""


class RecordedDaemon:
    """A daemon on a fresh directory, all of whose writes are recorded."""

    def __init__(self, directory: Path, rng: random.Random) -> None:
        home = directory / "home"
        home.mkdir()
        self.disk = RecordedDisk(home, directory / "traces")
        self.daemon = DaemonProcess(home, CONFIG, environment=self.disk.environment)
        self.daemon.kill_signal = KILL_SIGNAL
        self.observation_log = ObservationLog()
        self.workload = Workload(self.daemon, directory / "run-log", self.observation_log, rng)

    def add_user(self, email: str) -> None:
        command = [sys.executable, "-m", "taskd", "auth", "user", "add", email, "--data", str(self.daemon.data)]
        environment = {**os.environ, **self.disk.environment}
        subprocess.run(command, env=environment, input=b"correct horse battery\n", check=True, capture_output=True)
        self.observation_log.record("user", email)

    async def run(self, rng: random.Random) -> None:
        """Each process ends by a kill, in the midst of work."""
        self.add_user("ada@example.com")
        await self.daemon.start()
        async with self.workload.running():
            for process in range(PROCESSES):
                if process:
                    await self.daemon.start()
                await asyncio.to_thread(self.add_user, f"user-{process}@example.com")
                await asyncio.sleep(LIFETIME_S * (0.5 + rng.random()))
                await self.daemon.kill()
        self.workload.record_runs()


class PowerCut(NamedTuple):
    """A power cut after ``last``, the operation of this ``number``, and what it may have left."""

    number: int
    last: TimedOperation
    image: Image


def power_cuts(disk: RecordedDisk, rng: random.Random, count: int) -> Iterator[PowerCut]:
    """Cuts all through the record, the half of them where a careless order shows."""
    operations, model = disk.operations(), disk.initial_model()
    consequential = [number for number, timed in enumerate(operations) if timed.operation[0] in CONSEQUENTIAL]
    chosen = {min(len(operations) - 1, rng.choice(consequential) + rng.randrange(3)) for _ in range(count // 2)}
    while len(chosen) < min(count, len(operations)):
        chosen.add(rng.randrange(len(operations)))
    for number, timed in enumerate(operations):
        model.advance(timed.operation)
        if number in chosen:
            yield PowerCut(number, timed, model.image_after_power_cut(rng))


@contextmanager
def image_directory(cut: PowerCut, memory: Path) -> Iterator[Path]:
    """A directory that holds what the cut left. Errors get the place in the record as a note."""
    directory = Path(tempfile.mkdtemp(dir=memory))
    write_image(cut.image, directory)
    try:
        yield directory
    except BaseException as error:
        error.add_note(f"seed {SEED}, after operation {cut.number}: {cut.last.operation[:3]}")
        raise
    shutil.rmtree(directory)


async def recover_without_power(directory: Path, known: KnownState, workload: Workload, rng: random.Random) -> None:
    """The power fails again while a store recovers: from what that leaves the next one recovers as well."""
    with tempfile.TemporaryDirectory() as traces:
        disk = RecordedDisk(directory, Path(traces))
        command = [sys.executable, "-c", RECOVER, str(directory / "data")]
        await asyncio.to_thread(subprocess.run, command, env={**os.environ, **disk.environment}, check=True)
        for cut in power_cuts(disk, rng, CUTS_OF_A_RECOVERY):
            with image_directory(cut, directory.parent) as again:
                await check(again / "data", known, workload.codes)


async def bring_to_an_end(directory: Path, known: KnownState, workload: Workload) -> None:
    """A daemon starts in ``directory``: what was due ends there, and with the runs before the cut none is a second."""
    runs_before = len(workload.runs())
    pending = f"?in(status,new,inProgress)&lt(startTimestamp,{time.time_ns() // 1_000_000})"
    async with running_daemon(directory, CONFIG) as daemon, ClientSession() as session, api_of(daemon) as api:
        for task_id, key in list(known.created.items())[-CREATED_AGAIN:]:
            assert (await create_once(session, daemon.url, workload.bodies[key]))["id"] == task_id
        async with asyncio.timeout(60):
            while (await api.call("GET", f"{pending}&limit(1)"))["page"]["total"]:
                await asyncio.sleep(0.05)
        statuses = {task["id"]: task["status"] for task in await api.all_tasks()}
    runs = known.runs + Counter(task_id for task_id, _ in workload.runs()[runs_before:])
    assert not [task_id for task_id, count in runs.items() if count > 1], "a task ran twice"
    assert known.ends.items() <= statuses.items(), "a final status has changed"
    never = [task_id for task_id, status in statuses.items() if status == "complete" and not runs[task_id]]
    assert not never, f"these are complete and never ran: {never}"


async def test_every_state_a_power_cut_may_leave_holds_what_clients_were_told(
    tmp_path: Path, memory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    rng = random.Random(SEED)
    recorded = RecordedDaemon(tmp_path, rng)
    await recorded.run(rng)
    for number, cut in enumerate(power_cuts(recorded.disk, rng, STATES)):
        known = recorded.observation_log.known_at(cut.last.time_ns)
        with image_directory(cut, memory) as directory:
            if number % STARTS_EVERY == 0:
                await recover_without_power(directory, known, recorded.workload, rng)
            await check(directory / "data", known, recorded.workload.codes)
            if number % STARTS_EVERY == STARTS_EVERY // 2:
                await bring_to_an_end(directory, known, recorded.workload)


async def test_the_record_of_a_daemon_has_all_that_it_does_to_its_disk(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    recorded = RecordedDaemon(tmp_path, rng)
    await recorded.daemon.start()
    async with recorded.workload.running():
        await asyncio.sleep(0.5)
        assert await recorded.daemon.stop() == 0
    image = recorded.disk.current_model().current_image()
    assert persistent_files(image) == persistent_files(read_image(recorded.disk.root))
