"""Clients that ask for much and read nothing: memory stays bounded, others are served, and their connections end."""

import asyncio
import os
import select
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support.auth.accounts import EVERYBODY, holder, with_holders
from support.auth.service import secured_service
from support.daemon.process import DaemonProcess, api_of, running_daemon
from support.http.service import http_service

from taskd.api.settings import ServerSettings
from taskd.model.limits import MIB
from taskd.model.task import TaskDraft

pytestmark = pytest.mark.slow


CLIENTS = 40
TASKS, TASK_BYTES = 48, MIB - 1_000
GROWTH_MAX_BYTES = 200 * MIB
NEVER = "2100-01-01T00:00:00.000Z"
LISTING = b"GET /tasks/v1?limit(100) HTTP/1.1\r\nHost: localhost\r\n\r\n"
GREEDY, MODEST = holder(7, "VIEW_TASKS"), holder(8, "VIEW_TASKS")


@asynccontextmanager
async def not_reading(url: str, sent: bytes, count: int) -> AsyncIterator[list[socket.socket]]:
    """``count`` connections that sent something, and whose answers nobody reads."""
    parts = urlsplit(url)
    sockets = []
    for _ in range(count):
        sockets.append(socket.socket())
        sockets[-1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sockets[-1].setblocking(False)
        await asyncio.get_running_loop().sock_connect(sockets[-1], (parts.hostname, parts.port))
        await asyncio.get_running_loop().sock_sendall(sockets[-1], sent)
    try:
        yield sockets
    finally:
        for each in sockets:
            each.close()


def resident_bytes(daemon: DaemonProcess) -> int:
    pages = int(Path(f"/proc/{daemon.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def begins(connection: socket.socket) -> None:
    """Returns when the first byte of the answer is there; it stays unread."""
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(connection, readable.set)
    try:
        async with asyncio.timeout(60):
            await readable.wait()
    finally:
        loop.remove_reader(connection)


async def reads(connection: socket.socket, size_bytes: int) -> None:
    """Returns when so much of the answer has been read."""
    while size_bytes > 0:
        part = await asyncio.get_running_loop().sock_recv(connection, MIB)
        assert part, f"it ended {size_bytes} bytes before"
        size_bytes -= len(part)


async def is_dropped(*connections: socket.socket) -> None:
    """Returns when the other side has reset one of the connections, although nothing is read from them."""
    poll = select.poll()
    for connection in connections:
        poll.register(connection, 0)
    assert await asyncio.to_thread(poll.poll, 60_000), "it is still open after a minute"


async def test_pages_of_large_tasks_that_nobody_reads_take_little_memory(tmp_path: Path) -> None:
    async with running_daemon(tmp_path, "[server]\nanswer_stall_s = 3.0\n") as daemon, api_of(daemon) as api:
        for _ in range(TASKS):
            await api.create("f", data={"text": "x" * TASK_BYTES}, startTimestamp=NEVER)
        await api.call("GET", "?limit(100)")
        before = resident_bytes(daemon)
        async with not_reading(daemon.url, LISTING, CLIENTS) as connections:
            await asyncio.gather(*map(begins, connections))
            served = await api.call("GET", "?limit(100)")
            assert len(served["data"]) == TASKS
            assert resident_bytes(daemon) - before < GROWTH_MAX_BYTES
            for connection in connections:
                await is_dropped(connection)
        assert resident_bytes(daemon) - before < GROWTH_MAX_BYTES / 2


async def test_many_requests_on_one_connection_wait_until_the_answers_are_read(tmp_path: Path) -> None:
    async with running_daemon(tmp_path, "[server]\nanswer_stall_s = 3.0\n") as daemon, api_of(daemon) as api:
        for _ in range(20):
            await api.create("f", data={"text": "x" * 2_000}, startTimestamp=NEVER)
        before = resident_bytes(daemon)
        requests = LISTING * 4_000
        async with not_reading(daemon.url, b"", 1) as [connection]:
            sending = asyncio.create_task(asyncio.get_running_loop().sock_sendall(connection, requests))
            await begins(connection)
            await is_dropped(connection)
            await asyncio.wait([sending])
            sending.cancelled() or sending.exception()
            assert resident_bytes(daemon) - before < 50 * MIB


@pytest.mark.parametrize("tasks", [1, 40])
async def test_whoever_does_not_read_loses_the_connection_and_whoever_reads_slowly_does_not(
    tmp_path: Path, tasks: int
) -> None:
    """Few bytes wait in the connection, many in the handler."""
    stall_s = 1.0
    async with secured_service(
        tmp_path, with_holders(EVERYBODY, GREEDY), server=ServerSettings(answer_stall_s=stall_s)
    ) as secured:
        service = secured.service
        await service.store.add([TaskDraft("f", b'{"a":"%b"}' % (b"x" * 100_000), 0)] * tasks)
        request = LISTING.replace(b"\r\n\r\n", f"\r\nAuthorization: Bearer {GREEDY.token}\r\n\r\n".encode())
        async with not_reading(service.url, request * (60 if tasks == 1 else 1), 2) as [idle, slow]:
            loop, got = asyncio.get_running_loop(), 0
            for _ in range(30):
                got += len(await loop.sock_recv(slow, 16_384))
                await asyncio.sleep(stall_s / 10)
            assert got >= 30 * 4_096 / 2
            await is_dropped(idle)
            assert len(await loop.sock_recv(slow, 16_384)) > 0


async def test_in_a_crowd_the_caller_who_holds_most_loses_the_oldest(tmp_path: Path) -> None:
    settings = ServerSettings(answers_max_bytes=4 * MIB)
    async with secured_service(tmp_path, with_holders(EVERYBODY, GREEDY, MODEST), server=settings) as secured:
        service = secured.service
        await service.store.add([TaskDraft("f", b'{"a":"%b"}' % (b"x" * MIB), 0)] * 8)

        def request_of(token: str) -> bytes:
            return LISTING.replace(b"\r\n\r\n", f"\r\nAuthorization: Bearer {token}\r\n\r\n".encode())

        async with not_reading(service.url, request_of(MODEST.token), 1) as [modest]:
            await begins(modest)
            async with not_reading(service.url, request_of(GREEDY.token), 12) as greedy:
                await is_dropped(*greedy)  # answers may begin in another order than requests came
                headers = {"Authorization": f"Bearer {GREEDY.token}"}
                async with service.client.get("/tasks/v1?limit(100)", headers=headers) as response:
                    assert len((await response.json())["data"]) == 8
                await reads(modest, 8 * MIB)


async def test_where_callers_are_not_told_apart_addresses_behind_a_proxy_are(tmp_path: Path) -> None:
    async with http_service(tmp_path, ServerSettings(answers_max_bytes=4 * MIB)) as service:
        await service.store.add([TaskDraft("f", b'{"a":"%b"}' % (b"x" * MIB), 0)] * 8)

        def request_of(address: str) -> bytes:
            return LISTING.replace(b"\r\n\r\n", f"\r\nX-Forwarded-For: {address}\r\n\r\n".encode())

        async with not_reading(service.url, request_of("192.0.2.1"), 1) as [modest]:
            await begins(modest)
            async with not_reading(service.url, request_of("192.0.2.2"), 12) as greedy:
                await asyncio.gather(*map(begins, greedy))
                await reads(modest, 8 * MIB)
