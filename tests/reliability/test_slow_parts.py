"""Parts that are slow without end: a disk that takes no sync, and a function that does not return."""

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.functions.local_runtime import eventually, is_alive, local_harness
from support.http.error_shape import assert_error
from support.http.service import BASE, Service, http_service

from taskd.runtime.base import FunctionError
from taskd.store.embedded import commit

QUEUE_MAX_BYTES = 1 << 20
DATA_BYTES = 50_000
CLIENTS = 100
QUICKLY_S = 2.0
WAIT_S = 20
NEVER_ENDS = """
    import os, pathlib, signal, time
    def handler(event, context):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.fork()
        pathlib.Path(event, str(os.getpid())).write_text("")
        while True:
            time.sleep(60)
    """


class StuckDisk:
    """While it is stuck, no sync of a file's data comes back."""

    def __init__(self) -> None:
        self.moves = threading.Event()
        self.moves.set()
        self._real = os.fdatasync

    def fdatasync(self, fd: int) -> None:
        assert self.moves.wait(WAIT_S)
        self._real(fd)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[StuckDisk]:
    disk = StuckDisk()
    monkeypatch.setattr(os, "fdatasync", disk.fdatasync)
    monkeypatch.setattr(commit, "JOURNAL_QUEUE_MAX_BYTES", QUEUE_MAX_BYTES)
    yield disk
    disk.moves.set()


async def post(service: Service) -> int:
    async with service.client.post(BASE, json={"functionName": "f", "data": {"x": "y" * DATA_BYTES}}) as response:
        if response.status != 200:
            await assert_error(response, 1429)
            assert response.headers["Retry-After"]
        return response.status


async def is_quickly_healthy(service: Service) -> None:
    async with asyncio.timeout(QUICKLY_S), service.client.get("/health") as response:
        assert response.status == 200


async def test_more_than_a_stuck_disk_takes_is_refused_at_once_and_the_rest_waits(
    tmp_path: Path, disk: StuckDisk
) -> None:
    async with http_service(tmp_path) as service:
        disk.moves.clear()
        posting = [asyncio.create_task(post(service)) for _ in range(CLIENTS)]
        waiting_max = QUEUE_MAX_BYTES // DATA_BYTES + 1
        async with asyncio.timeout(WAIT_S):
            while sum(one.done() for one in posting) < CLIENTS - waiting_max:
                await is_quickly_healthy(service)
        assert {one.result() for one in posting if one.done()} == {429}
        assert service.store._commits._unwritten_bytes <= QUEUE_MAX_BYTES + 2 * DATA_BYTES
        disk.moves.set()
        answers = await asyncio.gather(*posting)
        assert 0 < answers.count(200) <= waiting_max
        assert (await service.get("?limit(1)"))["page"]["total"] == answers.count(200)
        assert await post(service) == 200


async def test_a_function_that_never_ends_is_killed_in_time_with_its_children_and_holds_up_no_other(
    tmp_path: Path,
) -> None:
    async with local_harness(tmp_path / "functions", max_sandboxes=2) as harness:
        await harness.deploy_python("def handler(event, context): return event", name="quick")
        await harness.value(0, "quick")
        await harness.deploy_python(NEVER_ENDS, name="endless", time_limit_s=1)
        pids = tmp_path / "pids"
        pids.mkdir()
        began_s = time.monotonic()
        endless = harness.call(str(pids), "endless")
        number = 0
        while not endless.done():
            number += 1
            assert await harness.value(number, "quick") == number
        result = await endless
        assert isinstance(result, FunctionError)
        assert result.name == "Sandbox.Timedout"
        assert time.monotonic() - began_s < WAIT_S / 2
        assert number > 10
        processes = [int(file.name) for file in pids.iterdir()]
        assert len(processes) == 2
        await eventually(lambda: not any(is_alive(process) for process in processes))
        assert await harness.value(0, "quick") == 0
