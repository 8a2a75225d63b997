"""A socket that systemd listens on for the daemon: it is taken, and nobody who comes during a restart is refused."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

import pytest
from aiohttp import ClientSession
from support.daemon.process import READY

from taskd.cli.exit_codes import ExitCode

pytestmark = pytest.mark.slow

ACTIVATED = """
import os, sys
from taskd.cli import main


for at, fd in enumerate(map(int, sys.argv.pop(1).split(","))):
    os.dup2(fd, 3 + at)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(at + 1), LISTEN_FDNAMES="taskd.socket")
sys.argv[0] = "taskd"
sys.exit(main())
"""
"""What systemd does before it runs a program: descriptors from 3 on, and variables that name the process."""
TIMEOUT_S = 60


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


async def start(folder: Path, *passed: socket.socket | IO[str], config: str = "") -> asyncio.subprocess.Process:
    (folder / "taskd.toml").write_text(config)
    fds = [held.fileno() for held in passed]
    command = ["-c", ACTIVATED, ",".join(map(str, fds)), "serve", "--config", str(folder / "taskd.toml")]
    return await asyncio.create_subprocess_exec(
        *(sys.executable, *command, "--data", str(folder / "data"), "--listen", "127.0.0.1:0"),
        pass_fds=fds,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@asynccontextmanager
async def running(folder: Path, *passed: socket.socket) -> AsyncIterator[str]:
    """The URL of a daemon that was started with these sockets and is stopped in good order."""
    daemon = await start(folder, *passed)
    assert daemon.stdout is not None
    try:
        async with asyncio.timeout(TIMEOUT_S):
            line = (await daemon.stdout.readline()).decode()
        assert line.startswith(READY)
        yield line.removeprefix(READY).strip()
    finally:
        daemon.send_signal(signal.SIGTERM)
        await daemon.communicate()
    assert daemon.returncode == ExitCode.OK


async def health(url: str) -> int:
    async with ClientSession() as session, session.get(f"{url}/health") as response:
        return response.status


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_the_passed_socket_takes_the_place_of_the_address_that_is_set(tmp_path: Path, host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener:
        port = listener.getsockname()[1]
        async with running(tmp_path, listener) as url:
            assert url == (f"http://[::1]:{port}" if ":" in host else f"http://127.0.0.1:{port}")
            assert await health(url) == 200


async def test_who_connects_during_a_restart_is_answered_after_it(tmp_path: Path, listener: socket.socket) -> None:
    async with running(tmp_path, listener) as url:
        assert await health(url) == 200
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    async with running(tmp_path, listener):
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
    writer.close()


async def test_a_socket_that_others_can_reach_is_not_served_without_asking_who_calls(tmp_path: Path) -> None:
    with socket.create_server(("0.0.0.0", 0)) as listener:
        daemon = await start(tmp_path, listener, config='[auth]\nmode = "disabled"\n')
        _, said = await daemon.communicate()
        assert daemon.returncode == ExitCode.USAGE
        assert b"--insecure" in said


async def test_what_is_no_single_tcp_socket_is_refused_in_words(tmp_path: Path, listener: socket.socket) -> None:
    with socket.socket(socket.AF_UNIX) as local, socket.socket() as connection:
        local.bind(str(tmp_path / "socket"))
        local.listen()
        for passed in ((local,), (connection,), (listener, listener)):
            daemon = await start(tmp_path, *passed)
            _, said = await daemon.communicate()
            assert daemon.returncode == ExitCode.USAGE
            assert b"one ListenStream=" in said


async def test_what_is_no_socket_is_refused_in_words(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        daemon = await start(tmp_path, file)
        _, said = await daemon.communicate()
        assert daemon.returncode == ExitCode.USAGE
        assert b"one ListenStream=" in said


async def test_what_was_passed_to_another_process_is_left_alone(tmp_path: Path) -> None:
    command = ("-m", "taskd", "serve", "--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0")
    environment = {**os.environ, "LISTEN_PID": "1", "LISTEN_FDS": "1"}
    daemon = await asyncio.create_subprocess_exec(
        *(sys.executable, *command), stdout=asyncio.subprocess.PIPE, env=environment
    )
    assert daemon.stdout is not None
    async with asyncio.timeout(TIMEOUT_S):
        assert (await daemon.stdout.readline()).decode().startswith(READY)
    daemon.send_signal(signal.SIGTERM)
    await daemon.communicate()
    assert daemon.returncode == ExitCode.OK
