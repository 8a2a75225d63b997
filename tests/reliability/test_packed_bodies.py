"""Many bodies at once that are small until they are unpacked: what comes out is counted, and unpacked in threads.

The clients are as busy as the daemon, so what they are told within is not what a client elsewhere would see.
"""

import asyncio
import gzip
import os
import time
from collections import Counter
from pathlib import Path

from aiohttp import ClientSession, ClientTimeout, TCPConnector
from support.daemon.process import running_daemon

from benchmarks.harness.processes import peak_resident_bytes

MIB = 1 << 20
COUNT = int(os.environ.get("TASKD_PACKED_BODIES", "400"))
DATA_BYTES = 5_800_000
PACKED = gzip.compress(b'{"functionName":"f","startTimestamp":4e12,"data":{"a":"%b"}}' % (b"x" * DATA_BYTES), mtime=0)
GROWTH_MAX_BYTES = 384 * MIB
"""Of bodies that may take 64 MiB: each is there as data, in the journal's queue, for the catalogue, and on its way back
to the client."""
ANSWER_MAX_S = 5.0
"""On an idle machine it is 0.4 s, and was 18 s when the event loop did the unpacking."""


async def post(client: ClientSession, url: str) -> int:
    async with client.post(f"{url}/tasks/v1", data=PACKED, headers={"Content-Encoding": "gzip"}) as response:
        await response.read()
        return response.status


async def longest_answer_s(client: ClientSession, url: str, until: "asyncio.Future[list[int]]") -> float:
    """How long a request that asks for next to nothing took at most, meanwhile."""
    longest_s = 0.0
    while not until.done():
        began_s = time.perf_counter()
        async with client.get(f"{url}/health") as response:
            assert response.status == 200
        longest_s = max(longest_s, time.perf_counter() - began_s)
        await asyncio.sleep(0.01)
    return longest_s


async def test_many_packed_bodies_take_bounded_memory_and_leave_the_loop_to_others(tmp_path: Path) -> None:
    assert len(PACKED) < 10_000
    async with (
        running_daemon(tmp_path, f"[server]\nbodies_max_bytes = {64 * MIB}") as daemon,
        ClientSession(connector=TCPConnector(limit=0), timeout=ClientTimeout(total=120)) as client,
    ):
        assert await post(client, daemon.url) == 200
        before_bytes = peak_resident_bytes(daemon.process.pid)
        answers = asyncio.gather(*(post(client, daemon.url) for _ in range(COUNT)))
        longest_s = await longest_answer_s(client, daemon.url, answers)
        counts = Counter(await answers)
        grown_bytes = peak_resident_bytes(daemon.process.pid) - before_bytes
    assert set(counts) <= {200, 429}
    assert counts[200]
    assert grown_bytes < GROWTH_MAX_BYTES
    assert longest_s < ANSWER_MAX_S
