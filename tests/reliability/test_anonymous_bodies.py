"""Crowds of requests that show no credentials and never end: who has credentials, or sends all at once, is served."""

import asyncio
import os
import resource
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientSession
from support.auth.accounts import ADA, EVERYBODY, PASSWORD, PUBLIC_CLIENT, holder, with_holders
from support.auth.service import secured_service
from support.http.error_shape import assert_error

from taskd.api.http import anonymous_bodies

pytestmark = pytest.mark.slow


UNFINISHED = int(os.environ.get("TASKD_CONNECTIONS", "5000"))
LOGIN_PATH = "/auth/v2/oauth2/tokens"
LOGIN = {"grant_type": "password", "username": ADA.email, "password": PASSWORD, "client_id": PUBLIC_CLIENT.key}
CREATOR = holder(7, "CREATE_TASKS")
HEAD = f"POST {LOGIN_PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n".encode()
LENGTH = HEAD + b"Content-Length: 9\r\n\r\n{"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"
FORWARDED = LENGTH.replace(b"\r\n\r\n", b"\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n")


@asynccontextmanager
async def connected(url: str, sent: bytes, count: int) -> AsyncIterator[list[tuple[StreamReader, StreamWriter]]]:
    """``count`` connections that have ``sent`` something and say no more."""
    parts = urlsplit(url)
    streams: list[tuple[StreamReader, StreamWriter]] = []
    try:
        for _ in range(count):
            streams.append(await asyncio.open_connection(parts.hostname, parts.port))
            streams[-1][1].write(sent)
        yield streams
    finally:
        for _, writer in streams:
            writer.close()


async def assert_refused(reader: StreamReader) -> None:
    async with asyncio.timeout(20):
        assert b" 429 " in await reader.readline()


async def assert_others_are_served(client: ClientSession) -> None:
    async with client.post(LOGIN_PATH, json=LOGIN) as response:
        assert response.status == 200, await response.text()
    headers = {"Authorization": f"Bearer {CREATOR.token}"}
    async with client.post("/tasks/v1", json={"functionName": "f"}, headers=headers) as response:
        assert response.status == 200, await response.text()


@pytest.mark.parametrize(("sent", "count"), [(LENGTH, UNFINISHED), (CHUNKED, 200)])
async def test_logins_that_never_end_lock_nobody_out(tmp_path: Path, sent: bytes, count: int) -> None:
    """As many as there may be requests at once; without a length, each counts as the largest body there may be."""
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 2 * count + 200:
        pytest.skip(f"{2 * count + 200} open files are needed here")
    async with (
        secured_service(tmp_path, with_holders(EVERYBODY, CREATOR)) as secured,
        connected(secured.service.url, sent, count) as [(oldest, _), *_],
    ):
        await assert_refused(oldest)
        await assert_others_are_served(secured.service.client)


async def test_an_address_with_many_unfinished_bodies_takes_no_place_of_another(tmp_path: Path) -> None:
    async with (
        secured_service(tmp_path) as secured,
        connected(secured.service.url, FORWARDED, 1) as [(reader, writer)],
        connected(secured.service.url, LENGTH, 600) as [(oldest, _), *_],
    ):
        await assert_refused(oldest)
        writer.write(b"12345678")
        async with asyncio.timeout(20):
            assert b" 400 " in await reader.readline()


async def test_a_login_whose_body_does_not_come_is_told_so_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anonymous_bodies, "BODY_TIME_LIMIT_S", 0.01)

    async def half() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async with secured_service(tmp_path) as secured, secured.service.client.post(LOGIN_PATH, data=half()) as response:
        answer = await response.json()
        assert answer["exh_error"]["code"] == 22
        assert "did not arrive within" in answer["error_description"]


async def test_what_has_lost_its_place_counts_no_longer(tmp_path: Path) -> None:
    async with secured_service(tmp_path) as secured:
        async with connected(secured.service.url, CHUNKED, 50) as [(oldest, _), *_]:
            await assert_refused(oldest)
        async with secured.service.client.post(LOGIN_PATH, data=b"{") as response:
            assert (await response.json())["exh_error"]["code"] == 22
        async with secured.service.client.post("/tasks/v1", data=b"{}") as response:
            await assert_error(response, 104)
