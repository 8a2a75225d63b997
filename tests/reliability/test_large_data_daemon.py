"""Much data that waits, in a real daemon: it is on the disk, and in memory neither before a restart nor after it."""

import gzip
import os
from pathlib import Path

import pytest
from aiohttp import ClientSession, ClientTimeout
from support.daemon.process import DaemonProcess, running_daemon

from benchmarks.harness.processes import anonymous_bytes, peak_resident_bytes

pytestmark = pytest.mark.slow


MIB = 1 << 20
TASKS = int(os.environ.get("TASKD_LARGE_TASKS", "60"))
DATA_BYTES = 5_800_000
PACKED = gzip.compress(b'{"functionName":"f","startTimestamp":4e12,"data":{"a":"%b"}}' % (b"x" * DATA_BYTES), mtime=0)
CONFIG = f"""
[store]
segment_mib = 64
[server]
bodies_max_bytes = {32 * MIB}
"""
GROWTH_MAX_BYTES = 96 * MIB
"""What allocators keep of what passed through; the data of the tasks is several times as much."""
PEAK_GROWTH_MAX_BYTES = 160 * MIB
"""While they are created and while they are found again: some tasks' data, and what is being read of the journal."""


async def create(session: ClientSession, daemon: DaemonProcess) -> None:
    headers = {"Content-Encoding": "gzip"}
    async with session.post(f"{daemon.url}/tasks/v1", data=PACKED, headers=headers) as response:
        assert response.status == 200, await response.text()
        await response.read()


async def settled_memory(session: ClientSession, daemon: DaemonProcess) -> int:
    """Memory of the daemon when its catalogue has written all that waits."""
    async with session.get(f"{daemon.url}/tasks/v1?limit(1)&select(id)") as response:
        assert response.status == 200
    return anonymous_bytes(daemon.process.pid)


async def test_the_data_of_waiting_tasks_is_not_in_memory(tmp_path: Path) -> None:
    assert GROWTH_MAX_BYTES < TASKS * DATA_BYTES / 3
    async with ClientSession(timeout=ClientTimeout(total=120)) as session, running_daemon(tmp_path, CONFIG) as daemon:
        before_bytes = await settled_memory(session, daemon)
        fresh_peak_bytes = peak_resident_bytes(daemon.process.pid)
        for _ in range(TASKS):
            await create(session, daemon)
        created_bytes = await settled_memory(session, daemon)
        created_peak_bytes = peak_resident_bytes(daemon.process.pid)
        await daemon.stop()
        await daemon.start()
        restarted_bytes = await settled_memory(session, daemon)
        async with session.get(f"{daemon.url}/health") as response:
            live = (await response.json())["liveMemory"]
        assert 0 < live["usedBytes"] < TASKS * 1024 < live["limitBytes"]
        async with session.get(f"{daemon.url}/metrics") as response:
            assert "\ntaskd_live_tasks_limit_bytes " in await response.text()
        restarted_peak_bytes = peak_resident_bytes(daemon.process.pid)
    assert max(created_bytes, restarted_bytes) - before_bytes < GROWTH_MAX_BYTES
    assert max(created_peak_bytes, restarted_peak_bytes) - fresh_peak_bytes < PEAK_GROWTH_MAX_BYTES
