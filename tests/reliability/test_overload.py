"""Too much at once: refused in time with 1429, while probes are answered and what was accepted is kept."""

import asyncio
import gzip
import os
import resource
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession, ClientTimeout, TCPConnector
from support.http.error_shape import assert_error
from support.http.service import BASE, Service, http_service

from taskd.api.settings import ServerSettings
from taskd.model.task import TaskDraft
from taskd.store.embedded.settings import StoreSettings

CONNECTIONS = int(os.environ.get("TASKD_CONNECTIONS", "1000"))
MIB = 1 << 20


async def post(client: ClientSession, url: str, data: bytes) -> int:
    async with client.post(url + BASE, data=data) as response:
        if response.status == 429:
            assert int(response.headers["Retry-After"]) > 0
            assert (await response.json())["code"] == 1429
        return response.status


async def crowd(service: Service, count: int, data: bytes) -> Counter[int]:
    """``count`` clients, each with a connection of its own, that all create at once; gives their answers."""
    connector = TCPConnector(limit=0, force_close=True)
    async with ClientSession(connector=connector, timeout=ClientTimeout(total=60)) as client:
        return Counter(await asyncio.gather(*(post(client, service.url, data) for _ in range(count))))


async def test_a_crowd_is_served_or_told_to_come_again_and_every_acceptance_holds(tmp_path: Path) -> None:
    wanted = 2 * CONNECTIONS + 200
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < wanted:
        pytest.skip(f"{wanted} open files are needed here")
    async with http_service(tmp_path, ServerSettings(requests_max=CONNECTIONS // 2)) as service:
        posting = asyncio.create_task(crowd(service, CONNECTIONS, b'{"functionName":"f"}'))
        async with asyncio.timeout(30):
            while not posting.done():
                async with service.client.get("/health") as response:
                    assert response.status == 200
                await asyncio.sleep(0.05)
        answers = await posting
        assert set(answers) <= {200, 429}
        assert (await service.get("?limit(1)"))["page"]["total"] == answers[200]
        assert (await crowd(service, 10, b'{"functionName":"f"}'))[200] == 10


async def test_bodies_in_progress_are_bounded_together(tmp_path: Path) -> None:
    """Bodies that are announced and never sent hold their place, but not the probes and not the bodiless requests."""
    async with http_service(tmp_path, ServerSettings(bodies_max_bytes=20 * MIB)) as service:
        host, port = service.url.removeprefix("http://").split(":")
        head = f"POST {BASE} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {5 * MIB}\r\n\r\n".encode()
        slow = [await asyncio.open_connection(host, int(port)) for _ in range(4)]
        for _, writer in slow:
            writer.write(head + b"{")
            await writer.drain()
        async with asyncio.timeout(10):
            while await post(service.client, "", b'{"functionName":"f"}') != 429:
                await asyncio.sleep(0.01)
        assert (await service.get("?limit(1)"))["page"]["offset"] == 0
        async with service.client.get("/health") as response:
            assert response.status == 200
        for _, writer in slow:
            writer.close()
        async with asyncio.timeout(10):
            while await post(service.client, "", b'{"functionName":"f"}') != 200:
                await asyncio.sleep(0.01)


async def upload(service: Service, lines: bytes, *, packed: bool) -> int:
    """Creates the tasks in ``lines`` without saying how many bytes they are; gives the status of the answer."""

    async def chunks() -> AsyncIterator[bytes]:
        yield lines

    headers = {"Content-Encoding": "gzip"} if packed else {}
    body = gzip.compress(lines, mtime=0) if packed else chunks()
    async with service.client.post(f"{BASE}/bulk", data=body, headers=headers) as response:
        return response.status


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "in chunks"])
async def test_bodies_whose_size_nobody_knew_are_counted_when_it_shows(tmp_path: Path, packed: bool) -> None:
    """There is room for what is announced, but not for what comes of it while another holds its place."""
    lines = b'{"functionName":"f","data":{"a":"%b"}}\n' % (b"x" * 4 * MIB) * 3
    async with http_service(tmp_path, ServerSettings(bodies_max_bytes=16 * MIB)) as service:
        host, port = service.url.removeprefix("http://").split(":")
        _, slow = await asyncio.open_connection(host, int(port))
        slow.write(f"POST {BASE} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {5 * MIB}\r\n\r\n{{".encode())
        async with asyncio.timeout(10):
            while await upload(service, lines, packed=packed) != 429:
                await asyncio.sleep(0.01)
        slow.close()
        async with asyncio.timeout(10):
            while await upload(service, lines, packed=packed) != 200:
                await asyncio.sleep(0.01)
        [counting] = service.app.middlewares
        assert counting.__self__.bodies_bytes == 0  # type: ignore[attr-defined]


async def test_more_tasks_than_may_wait_are_refused_until_some_have_ended(tmp_path: Path) -> None:
    settings = StoreSettings(data=str(tmp_path / "data"), live_tasks_max=3)
    async with http_service(tmp_path, store_settings=settings) as service:
        tasks = await service.store.add([TaskDraft("f", b"{}", 0) for _ in range(3)])
        async with service.client.post(BASE, json={"functionName": "f"}) as response:
            await assert_error(response, 1429)
            assert response.headers["Retry-After"]
        await service.store.cancel(tasks[0].id)
        await service.create()
